"""When a remedy holds: on every seed, by a margin, and by more than chance."""

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
    assert "what the script prints" in data["says"]
    assert ("does not hold" in data["says"]) is not holds


def test_a_sentence_says_when_a_side_is_not_finite():
    says = verification([None, 1.0, 1.0], [0.5, 0.5, 0.5], "loss").says("loss")
    assert "not finite before" in says
    assert "0.5 after" in says


def test_the_scripts_own_seed_comes_first():
    assert SEEDS[0] == 0
    assert len(set(SEEDS)) == len(SEEDS) >= 3
