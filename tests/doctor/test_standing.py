"""What counts as better: margins by kind, the part of the harm removed, what is missing."""

import math

import pytest
from made_runs import SITE, recording, stood

from thalweg.doctor.standing import (
    FIRST,
    Standing,
    better,
    fits_better,
    gain,
    improvement,
    margin,
    share,
    standing,
)

# kind, value, the gain that a person would care about
MARGINS = [
    ("accuracy", 0.80, 0.03),
    ("accuracy", 0.10, 0.03),
    ("rate", 0.80, 0.03),
    ("rate", 40.0, 4.0),  # not a share: a tenth, as of an error
    ("error rate", 0.30, 0.03),
    ("error rate", 32.0, 3.2),
    ("score", 0.5, 0.03),
    ("loss", 0.50, 0.05),
    ("error", 20.0, 2.0),
    ("training loss", 0.50, 0.15),
    ("training loss", -2.0, 0.60),
    ("accuracy", None, 0.0),
]
HIGHER = {
    "accuracy": True,
    "rate": True,
    "score": True,
    "loss": False,
    "error": False,
    "error rate": False,
    "training loss": False,
}


@pytest.mark.parametrize("kind, value, expected", MARGINS)
def test_margins(kind, value, expected):
    assert margin(stood(value, kind)) == pytest.approx(expected)


@pytest.mark.parametrize("kind", HIGHER)
def test_the_direction_of_a_kind(kind):
    assert stood(1.0, kind).higher_is_better is HIGHER[kind]


@pytest.mark.parametrize("kind", HIGHER)
def test_a_gain_is_positive_where_the_other_is_better(kind):
    sign = 1 if HIGHER[kind] else -1
    assert gain(stood(0.5, kind), stood(0.7, kind)) == pytest.approx(sign * 0.2)
    assert gain(stood(0.7, kind), stood(0.5, kind)) == pytest.approx(-sign * 0.2)
    assert gain(stood(0.5, kind), stood(0.5, kind)) == 0


@pytest.mark.parametrize("kind", HIGHER)
def test_something_is_infinitely_better_than_nothing(kind):
    nothing, something = stood(None, kind, math.inf), stood(0.5, kind)
    assert gain(nothing, something) == math.inf
    assert gain(something, nothing) == -math.inf
    assert gain(nothing, nothing) == 0
    assert better(nothing, something)
    assert not better(something, nothing)
    assert not better(nothing, nothing)


@pytest.mark.parametrize("kind, value, wanted", [row for row in MARGINS if row[1] is not None])
@pytest.mark.parametrize("part, enough", [(0.99, False), (1.01, True), (-1.01, False)])
def test_one_comparison_needs_a_third_more_than_the_margin(kind, value, wanted, part, enough):
    step = FIRST * wanted * part * (1 if HIGHER[kind] else -1)
    assert better(stood(value, kind), stood(value + step, kind)) is enough


@pytest.mark.parametrize("kind, value, wanted", [row for row in MARGINS if row[1] is not None])
def test_an_improvement_of_one_is_just_the_margin(kind, value, wanted):
    step = wanted if HIGHER[kind] else -wanted
    assert improvement(stood(value, kind), stood(value + step, kind)) == pytest.approx(1.0)


@pytest.mark.parametrize("kind, part", [("loss", 0.1), ("error", 0.1), ("training loss", 0.3)])
def test_errors_improve_by_their_ratio(kind, part):
    # Twice the margin, one after the other: 1 -> (1 - part) -> (1 - part)^2.
    found = improvement(stood(8.0, kind), stood(8.0 * (1 - part) ** 2, kind))
    assert found == pytest.approx(2.0)
    assert improvement(stood(8.0 * (1 - part) ** 2, kind), stood(8.0, kind)) == pytest.approx(-2.0)


def test_better_than_a_perfect_error_takes_more_than_rounding():
    assert not better(stood(0.0, "loss"), stood(-1e-13, "loss"))


@pytest.mark.parametrize(
    "base, other, fits",
    [(1.0, 1.0, True), (1.0, 1.019, True), (1.0, 1.021, False), (1.0, 0.5, True),
     (-1.0, -0.985, True), (-1.0, -0.975, False),
     (math.inf, 5.0, True), (math.inf, math.inf, False), (1.0, math.inf, False)],
)  # fmt: skip
def test_fitting_at_least_as_well_allows_two_hundredths(base, other, fits):
    assert fits_better(stood(0.5, loss=base), stood(0.9, loss=other)) is fits


@pytest.mark.parametrize(
    "base, other, best, expected",
    [
        (0.5, 0.9, 0.9, 1.0),
        (0.5, 0.7, 0.9, 0.5),
        (0.5, 0.5, 0.9, 0.0),
        (0.5, 0.3, 0.9, -0.5),
        (0.5, 0.4, 0.5, 0.0),  # nothing to be won
        (0.5, None, 0.9, 0.0),
        (None, 0.9, 0.9, 1.0),
        (None, 0.82, 0.9, 1.0),  # within a tenth of the best
        (None, 0.45, 0.9, 0.5),
        (None, None, 0.9, 0.0),
        (None, None, None, 0.0),
    ],
)
def test_the_part_of_the_harm_that_is_removed(base, other, best, expected):
    assert share(stood(base), stood(other), stood(best)) == pytest.approx(expected)


def test_the_part_of_an_error_that_is_removed():
    errors = [stood(one, "error") for one in (4.0, 2.0, 1.0)]
    assert share(*errors) == pytest.approx(2 / 3)


def test_a_run_stands_by_its_last_evaluation():
    made = recording([3.0] * 20 + [1.0] * 20, [0.6, 0.8])
    assert standing(made, (SITE, "accuracy"), 0) == Standing(0.8, 1.0, "accuracy")


def test_without_a_measure_a_run_stands_by_the_last_tenth_of_its_losses():
    made = recording([9.0] * 18 + [2.0, 4.0])
    assert standing(made, None, 0) == Standing(3.0, 3.0, "training loss")


@pytest.mark.parametrize(
    "losses, evaluations, measure",
    [
        ([1.0] * 9 + [math.nan], [], None),
        ([], [], None),
        ([1.0], [], (SITE, "accuracy")),
        ([1.0], [0.5, math.nan], (SITE, "accuracy")),
        ([1.0], [0.5], ("train.py:99", "accuracy")),
    ],
)
def test_what_is_missing_or_not_finite_stands_as_none(losses, evaluations, measure):
    found = standing(recording(losses, evaluations), measure, 0)
    assert found.value is None
    assert found.loss == (1.0 if losses and math.isfinite(losses[-1]) else math.inf)


def test_another_optimizers_losses_do_not_count():
    made = recording([1.0] * 10)
    made.steps += [{"optimizer": 1, "step": i, "rate": 0.1, "loss": 7.0} for i in range(10)]
    assert standing(made, None, 1).value == 7.0
    assert standing(made, None, 0).value == 1.0
