"""What every line search owes the loop: a table of searches x a table of laws."""

import math

import pytest
from published_lines import CASES, IDS, NOT_FINITE, Recorded, barred, parabola

from thalweg.minimize.searches import (
    Backtracking,
    ExactQuadratic,
    Fixed,
    HagerZhang,
    StochasticArmijo,
    StrongWolfe,
)

SEARCHES = {
    "backtracking": Backtracking,
    "exact quadratic": ExactQuadratic,
    "fixed": Fixed,
    "Hager-Zhang": HagerZhang,
    "stochastic Armijo": StochasticArmijo,
    "strong Wolfe": StrongWolfe,
}
# Fixed looks at one point and takes it; ExactQuadratic promises nothing of other lines.
DESCENDING = {
    name: search for name, search in SEARCHES.items() if search not in (Fixed, ExactQuadratic)
}
LIMITED = {name: search for name, search in SEARCHES.items() if search is not Fixed}
every_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
limited = pytest.mark.parametrize("search", LIMITED.values(), ids=LIMITED)
descending = pytest.mark.parametrize("search", DESCENDING.values(), ids=DESCENDING)
every_line = pytest.mark.parametrize("phi", [case[0] for case in CASES[::4]], ids=IDS[::4])
not_finite = pytest.mark.parametrize("value, slope", NOT_FINITE.values(), ids=NOT_FINITE)


@every_search
@every_line
@pytest.mark.parametrize("first", [1e-3, 1.0, 1e3])
def test_what_is_found_was_evaluated_and_counted(search, phi, first):
    line = Recorded(phi)
    found = search().along(line, line.zero, first)
    assert found.evaluations == len(line.alphas)
    assert (found.value, found.slope) == phi(found.alpha)
    assert found.alpha == 0 or found.alpha in line.alphas


@descending
@every_line
@pytest.mark.parametrize("first", [1e-3, 1.0, 1e3])
def test_the_loss_falls(search, phi, first):
    line = Recorded(phi)
    found = search().along(line, line.zero, first)
    assert found.alpha > 0
    assert found.value < line.zero[0]


@every_search
@every_line
@pytest.mark.parametrize("scale", [2.0**-600, 2.0**-30, 2.0**30, 2.0**600])
def test_the_scale_of_the_loss_changes_no_digit(search, phi, scale):
    line, scaled = Recorded(phi), Recorded(phi, scale)
    found = search().along(line, line.zero, 10.0)
    other = search().along(scaled, scaled.zero, 10.0)
    assert scaled.alphas == line.alphas
    assert (other.alpha, other.status) == (found.alpha, found.status)


@every_search
@every_line
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_scale_of_the_loss_changes_neither_step_nor_count(search, phi, scale):
    line, scaled = Recorded(phi), Recorded(phi, scale)
    found = search().along(line, line.zero, 1.0)
    other = search().along(scaled, scaled.zero, 1.0)
    assert other.alpha == pytest.approx(found.alpha, rel=1e-6)
    assert (other.evaluations, other.status) == (found.evaluations, found.status)


@limited
@not_finite
@pytest.mark.parametrize("beyond", [0.5, 1e-4])
def test_a_loss_that_is_not_finite_is_never_taken(search, value, slope, beyond):
    line = Recorded(barred(lambda alpha: parabola(alpha, beyond / 2), beyond, value, slope))
    found = search().along(line, line.zero, 10.0)
    assert found.status == "satisfied"
    assert 0 < found.alpha <= beyond
    assert math.isfinite(found.value)
    assert math.isfinite(found.slope)


@every_search
@not_finite
def test_no_finite_loss_at_all(search, value, slope):
    line = Recorded(lambda alpha: (value, slope) if alpha else (1.0, -1.0))
    found = search().along(line, line.zero, 1.0)
    assert (found.alpha, found.value, found.slope) == (0.0, 1.0, -1.0)
    assert found.status == "not finite"


@limited
def test_a_loss_that_was_finite_once_is_not_called_not_finite(search):
    """Higher at the first trial, no number at the second, and then the budget is spent."""
    line = Recorded(lambda alpha: (5.0, 1.0) if alpha == 1 else (math.nan, math.nan))
    found = search(max_evaluations=2).along(line, (1.0, -1.0), 1.0)
    assert len(line.alphas) == 2
    assert (found.status, found.alpha, found.value) == ("budget", 0.0, 1.0)


@every_search
@pytest.mark.parametrize(
    "start, status",
    [
        ((1.0, 0.0), "not descending"),
        ((1.0, 1e-300), "not descending"),
        ((1.0, math.nan), "not finite"),
        ((math.nan, -1.0), "not finite"),
        ((math.inf, -1.0), "not finite"),
        ((1.0, -math.inf), "not finite"),
    ],
)
def test_a_start_from_which_nothing_falls(search, start, status):
    line = Recorded(parabola)
    found = search().along(line, start, 1.0)
    assert (found.status, found.alpha, found.evaluations) == (status, 0.0, 0)
    assert line.alphas == []


@every_search
@pytest.mark.parametrize("first", [0.0, -1.0, math.inf, math.nan])
def test_a_first_step_out_of_its_domain(search, first):
    with pytest.raises(ValueError, match=r"first=.*positive number"):
        search().along(Recorded(parabola), (0.5, -1.0), first)


@limited
@every_line
@pytest.mark.parametrize("longest", [0.05, 0.7])
def test_no_trial_is_longer_than_allowed(search, phi, longest):
    line = Recorded(phi)
    found = search(max_step=longest).along(line, line.zero, 10.0)
    assert max(line.alphas) <= longest
    assert found.alpha > 0


@limited
def test_the_longest_step_is_reached_where_the_minimum_lies_beyond(search):
    line = Recorded(lambda alpha: parabola(alpha, 10.0))
    assert search(max_step=2.0).along(line, line.zero, 5.0).alpha == 2.0


@limited
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_evaluations_than_allowed(search, limit):
    """The line falls for a while: none of the conditions is met within three trials from afar."""
    line = Recorded(lambda alpha: parabola(alpha, 1e-6))
    found = search(max_evaluations=limit).along(line, line.zero, 1e9)
    if found.status != "satisfied":
        assert (found.status, found.evaluations) == ("budget", limit)
    assert len(line.alphas) <= limit


@limited
@pytest.mark.parametrize("options", [dict(max_evaluations=0), dict(max_step=0.0)])
def test_limits_that_allow_nothing(search, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        search(**options)


@every_search
def test_a_line_that_is_flat_to_rounding_is_left_soon(search):
    """The slope promises less than the last digit of the loss, and the loss shows none of it."""
    line = Recorded(lambda alpha: (1.0 + 2.0**-50 * (alpha > 0), -1e-30))
    found = search().along(line, line.zero, 1.0)
    assert found.evaluations <= 50
    assert found.value <= 1.0 + 2.0**-50
