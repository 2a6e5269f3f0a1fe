"""When a remedy holds: on every seed, by a margin, and by more than chance."""

import dataclasses
import itertools
import json
import math
import statistics

import pytest
from made_runs import stood

from thalweg.doctor.verification import SEEDS, Verification, standard_error


def verification(before, after, kind="accuracy"):
    seeds = tuple(range(len(before)))
    return Verification(
        seeds, tuple(stood(one, kind) for one in before), tuple(stood(one, kind) for one in after)
    )


# name: before, after, kind, whether it holds
ROWS = {
    "better on all by far": ([0.5, 0.5, 0.5], [0.9, 0.9, 0.9], "accuracy", True),
    "just above the margin": ([0.5, 0.5, 0.5], [0.531, 0.531, 0.531], "accuracy", True),
    "just below the margin": ([0.5, 0.5, 0.5], [0.529, 0.529, 0.529], "accuracy", False),
    "equal on one seed": ([0.5, 0.5, 0.5], [0.9, 0.9, 0.5], "accuracy", False),
    "worse on one seed": ([0.5, 0.5, 0.5], [0.9, 0.9, 0.49], "accuracy", False),
    "worse on all": ([0.9, 0.9, 0.9], [0.5, 0.5, 0.5], "accuracy", False),
    "one lucky seed": ([0.5, 0.5, 0.5], [0.9, 0.501, 0.501], "accuracy", False),
    "seeds differ, gains do not": ([0.2, 0.5, 0.8], [0.3, 0.6, 0.9], "accuracy", True),
    "by luck bad or worse before": ([0.70, 0.85, 0.27], [0.93, 0.925, 0.936], "accuracy", True),
    "a gap below the margin": ([0.70, 0.91, 0.27], [0.93, 0.925, 0.936], "accuracy", False),
    "errors with a gap": ([1.0, 40.0, 1.1], [0.85, 0.8, 0.88], "error", True),
    "errors without one": ([1.0, 40.0, 1.1], [0.85, 0.8, 0.95], "error", False),
    "errors of many magnitudes": ([2.8, 12.0, 74.0], [0.11, 0.10, 0.12], "loss", True),
    "one of them not finite": ([None, 1.8e8, 3.2e7], [0.31, 0.33, 0.30], "error", True),
    "much better, once to nothing": ([1.0, 1.0, 1.0], [0.0, 0.5, 0.5], "error", True),
    "better by far on one seed": ([1.0, 1.0, 1.0], [0.1, 0.99, 0.99], "error", False),
    "negative losses": ([-1.0, -1.0, -1.0], [-1.2, -1.2, -1.2], "loss", True),
    "an error, a tenth": ([10.0, 10.0, 10.0], [8.9, 8.9, 8.9], "error", True),
    "an error, less": ([10.0, 10.0, 10.0], [9.1, 9.1, 9.1], "error", False),
    "a loss that rises": ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], "loss", False),
    "training loss alone": ([1.0, 1.0, 1.0], [0.69, 0.69, 0.69], "training loss", True),
    "training loss, less": ([1.0, 1.0, 1.0], [0.71, 0.71, 0.71], "training loss", False),
    "nothing finite before": ([None, None, None], [0.5, 0.6, 0.7], "loss", True),
    "finite on one seed before": ([None, None, 1.0], [0.5, 0.6, 0.5], "loss", True),
    "finite before, not after": ([1.0, 1.0, 1.0], [0.5, 0.5, None], "loss", False),
    "never finite": ([None, None, None], [None, None, None], "loss", False),
    "nothing finite on one seed after": ([None, None, None], [0.5, 0.5, None], "loss", False),
    "most seeds finite, margin missed": ([None, 1.0, 1.0], [0.5, 0.95, 0.95], "loss", False),
    "no seeds": ([], [], "loss", False),
}


@pytest.mark.parametrize("name", ROWS)
def test_whether_a_remedy_holds(name):
    before, after, kind, holds = ROWS[name]
    assert verification(before, after, kind).held is holds


@pytest.mark.parametrize("name", [one for one in ROWS if ROWS[one][0]])
def test_the_order_of_the_seeds_does_not_matter(name):
    before, after, kind, holds = ROWS[name]
    for order in itertools.permutations(range(len(before))):
        swapped = verification([before[i] for i in order], [after[i] for i in order], kind)
        assert swapped.held is holds


def test_the_error_is_that_of_paired_gains():
    made = verification([0.2, 0.5, 0.8], [0.3, 0.7, 0.9])
    expected = statistics.stdev([0.1, 0.2, 0.1]) / math.sqrt(3)
    assert standard_error(made.gains) == pytest.approx(expected)
    assert made.as_data("accuracy")["error"] == pytest.approx(expected)


def test_one_gain_has_no_error():
    assert standard_error([0.3]) == 0.0


def test_gains_of_just_two_standard_errors_hold_and_of_fewer_do_not():
    # Gains of m - d, m, m + d have a standard error of d / sqrt(3): two of them at d = m sqrt(3)/2.
    for part, holds in ((0.99, True), (1.01, False)):
        d = part * 0.2 * math.sqrt(3) / 2
        assert verification([0.5] * 3, [0.7 - d, 0.7, 0.7 + d]).held is holds


@pytest.mark.parametrize("name", [one for one in ROWS if ROWS[one][0]])
def test_plain_data_is_strict_json(name):
    before, after, kind, holds = ROWS[name]
    data = verification(before, after, kind).as_data("what the script prints")
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert (data["held"], data["before"], data["after"]) == (holds, before, after)
    assert data["measure"] == "what the script prints"


SAYS = {
    "better on all by far": "and in the mean by more than chance",
    "just below the margin": "but not by enough",
    "one lucky seed": "but not by enough",
    "worse on one seed": "Not better on every seed",
    "never finite": "Not better on every seed",
}


@pytest.mark.parametrize("name", SAYS)
def test_a_sentence_says_why(name):
    before, after, kind, _ = ROWS[name]
    assert SAYS[name] in verification(before, after, kind).says()


def test_numbers_are_means_and_say_when_a_side_is_not_finite():
    finite = verification([1.0, 1.0, 4.0], [0.5, 0.5, 0.2], "loss")
    assert finite.in_numbers("loss") == "loss: 2 before, 0.4 after"
    broken = verification([None, 1.0, 1.0], [0.5, 0.5, 0.5], "loss")
    assert broken.in_numbers("loss") == "loss: not finite before, 0.5 after"


def test_the_scripts_own_seed_comes_first():
    assert SEEDS[0] == 0
    assert len(set(SEEDS)) == len(SEEDS) >= 3


# Runs that cannot be paired: before, after, whether it holds. Order is chance.
UNPAIRED = {
    "all better than all": ([0.5, 0.6, 0.7], [0.9, 0.8, 0.95], True),
    "better pair by pair": ([0.5, 0.6, 0.7], [0.65, 0.8, 0.95], False),
    "equal at the edge": ([0.5, 0.6, 0.7], [0.7, 0.8, 0.95], False),
    "all better by less than the margin": ([0.5, 0.5, 0.5], [0.51, 0.52, 0.515], False),
    "one of them not finite": ([0.5, None, 0.5], [0.9, 0.9, 0.9], True),
    "none": ([], [], False),
}


@pytest.mark.parametrize("name", UNPAIRED)
def test_runs_that_cannot_be_paired_are_compared_all_with_all(name):
    before, after, holds = UNPAIRED[name]
    for order in itertools.permutations(after):
        found = dataclasses.replace(verification(before, list(order)), paired=False)
        assert found.held is holds
        assert not before or ("Every run with it" in found.says()) is holds
