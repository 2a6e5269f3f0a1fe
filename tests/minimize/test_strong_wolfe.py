"""More and Thuente's search: published cases, scipy's DCSRCH step by step, and lines that fail."""

import math
import random
import warnings

import pytest
from published_lines import CASES, IDS, NOT_FINITE, Recorded, barred, parabola
from scipy.optimize._dcsrch import DCSRCH

from thalweg.minimize.searches import StrongWolfe
from thalweg.minimize.searches.more_thuente import Interval
from thalweg.minimize.searches.trials import Point

published = pytest.mark.parametrize("phi, c1, c2, first, count", CASES, ids=IDS)
not_finite = pytest.mark.parametrize("value, slope", NOT_FINITE.values(), ids=NOT_FINITE)


def holds(found, zero, c1, c2):
    lower = found.value <= zero[0] + c1 * found.alpha * zero[1]
    return lower and abs(found.slope) <= c2 * abs(zero[1])


@published
def test_the_published_case(phi, c1, c2, first, count):
    line = Recorded(phi)
    found = StrongWolfe(c1, c2).along(line, line.zero, first)
    assert found.status == "satisfied"
    assert found.evaluations == len(line.alphas) == count
    assert (found.value, found.slope) == phi(found.alpha)
    assert holds(found, line.zero, c1, c2)


def test_the_published_cases_take_179_evaluations():
    assert sum(count for *_, count in CASES) == 179


def scipys_steps(phi, c1, c2, first, longest):
    alphas = []

    def value(alpha):
        alphas.append(alpha)
        return phi(alpha)[0]

    search = DCSRCH(value, lambda alpha: phi(alpha)[1], c1, c2, 1e-14, 0, longest)
    search(first, *phi(0.0), maxiter=40)
    return alphas


@published
def test_the_steps_are_dcsrchs(phi, c1, c2, first, count):
    line = Recorded(phi)
    StrongWolfe(c1, c2).along(line, line.zero, first)
    assert line.alphas == pytest.approx(scipys_steps(phi, c1, c2, first, 1e100), rel=1e-6)


def smooth(seed):
    """A random sum of a parabola and waves that falls at zero, and a search for it."""
    draw = random.Random(seed)
    waves = [(draw.gauss(0, 1), draw.uniform(0.2, 4), draw.uniform(0, 6)) for _ in range(4)]
    bend = draw.choice([0.0, 0.01, 0.3])

    def rough(alpha):
        value = bend * alpha**2 + sum(a * math.sin(w * alpha + p) for a, w, p in waves)
        slope = 2 * bend * alpha + sum(a * w * math.cos(w * alpha + p) for a, w, p in waves)
        return value, slope

    sign = -math.copysign(1, rough(0.0)[1])

    def phi(alpha):
        value, slope = rough(sign * alpha)
        return value, sign * slope

    constants = draw.choice([(1e-4, 0.9), (1e-4, 0.1), (0.1, 0.1), (1e-3, 1e-3), (0.4, 0.5)])
    return phi, *constants, 10 ** draw.uniform(-4, 2), draw.choice([1e100, 5.0, 200.0])


@pytest.mark.parametrize("seed", range(100))
def test_the_steps_are_dcsrchs_on_random_lines(seed):
    phi, c1, c2, first, longest = smooth(seed)
    line = Recorded(phi)
    first = min(first, longest)
    StrongWolfe(c1, c2, max_step=longest).along(line, line.zero, first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = scipys_steps(phi, c1, c2, first, longest)
    # Where the bracket collapses, DCSRCH evaluates its best point once more.
    assert line.alphas == pytest.approx(theirs[: len(line.alphas)], rel=1e-5)
    assert len(theirs) - len(line.alphas) in (0, 1)


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**-30, 2.0**30, 2.0**900])
@published
def test_the_scale_of_the_loss_changes_no_digit(phi, c1, c2, first, count, scale):
    line = Recorded(phi, scale)
    found = StrongWolfe(c1, c2).along(line, line.zero, first)
    plain = Recorded(phi)
    StrongWolfe(c1, c2).along(plain, plain.zero, first)
    assert found.status == "satisfied"
    assert line.alphas == plain.alphas


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@published
def test_the_scale_of_the_loss_changes_no_count(phi, c1, c2, first, count, scale):
    line = Recorded(phi, scale)
    assert StrongWolfe(c1, c2).along(line, line.zero, first).evaluations == count


@not_finite
@pytest.mark.parametrize("beyond", [0.5, 2.0, 1e-3, 1e-9])
@pytest.mark.parametrize("first", [1.0, 1e3])
def test_a_loss_that_is_not_finite_is_never_taken(value, slope, beyond, first):
    """The minimum lies at half of the way to where the loss ends."""
    phi = barred(lambda alpha: parabola(alpha, beyond / 2), beyond, value, slope)
    line = Recorded(phi)
    found = StrongWolfe(curvature=0.1).along(line, line.zero, first)
    assert found.status == "satisfied"
    assert found.alpha == pytest.approx(beyond / 2, rel=0.1)
    assert found.evaluations <= 6 + math.log10(max(first / beyond, 1))


@not_finite
def test_a_hole_in_a_bracket_is_walked_round(value, slope):
    """Trials between the ends are not finite, the minimum before them is found."""

    def phi(alpha):
        return (value, slope) if 0.3 < alpha < 5 else parabola(alpha, 0.2)

    line = Recorded(phi)
    found = StrongWolfe(curvature=0.1).along(line, line.zero, 6.0)
    assert found.status == "satisfied"
    assert found.alpha == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(
    "low, high, wall, wanted, allowed",
    [
        (0.2, 0.2, 1.0, 0.5, 0.5),
        (0.2, 0.2, 1.0, 0.9, 0.6),
        (0.2, 0.9, 1.0, 0.8, 0.8),  # the other end is nearer than the wall
        (0.2, 2.0, 1.0, 0.8, 0.6),
        (0.8, 0.1, 1.0, 0.2, 0.2),  # the wall stands behind
        (0.8, 0.1, 0.4, 0.2, 0.6),
    ],
)
def test_half_of_the_way_to_a_wall_at_most(low, high, wall, wanted, allowed):
    low, high = (Point(alpha, *parabola(alpha)) for alpha in (low, high))
    interval = Interval(low, high, low != high, (0.0, 9.0), (9.0, 9.0), wall)
    assert interval.before_wall(wanted) == pytest.approx(allowed)


@pytest.mark.parametrize(
    "least, largest, alpha, exhausted",
    [
        (1.0, 2.0, 1.5, False),
        (1.0, 2.0, 1.0, True),
        (1.0, 2.0, 2.0, True),
        (1.0, 1.0 + 1e-15, 1.0 + 5e-16, True),
        (1.0, 1.0 + 4e-14, 1.0 + 2e-14, False),
    ],
)
def test_a_bracket_without_room_ends_the_search(least, largest, alpha, exhausted):
    low, high = (Point(at, *parabola(at)) for at in (least, largest))
    interval = Interval(low, high, True, (least, largest), (9.0, 9.0))
    assert interval.exhausted(alpha, 1e-14) == exhausted


@not_finite
def test_no_finite_loss_at_all(value, slope):
    line = Recorded(lambda alpha: (value, slope) if alpha else (1.0, -1.0))
    found = StrongWolfe().along(line, line.zero, 1.0)
    assert (found.status, found.alpha, found.value) == ("not finite", 0.0, 1.0)


def test_a_fall_towards_the_end_of_the_domain_keeps_the_best():
    """sqrt(1 - alpha) has no step of small slope; the search comes near to 1 and says so."""

    def phi(alpha):
        if alpha >= 1:
            return math.nan, math.nan
        return math.sqrt(1 - alpha), -0.5 / math.sqrt(1 - alpha)

    line = Recorded(phi)
    found = StrongWolfe(max_evaluations=12).along(line, line.zero, 3.0)
    assert found.status == "budget"
    assert 0.99 < found.alpha < 1
    assert found.alpha == max(alpha for alpha in line.alphas if alpha < 1)


@pytest.mark.parametrize("slope", [0.0, 1.0, math.nan])
def test_a_line_that_does_not_fall_is_not_searched(slope):
    found = StrongWolfe().along(Recorded(parabola), (0.5, slope), 1.0)
    assert found.status == ("not finite" if math.isnan(slope) else "not descending")
    assert (found.alpha, found.evaluations) == (0.0, 0)


@pytest.mark.parametrize("floor", [1e6, 1e10, 1e12])
def test_slopes_decide_where_values_are_rounded(floor):
    """A parabola on a floor so high that its fall is below the floor's last digit."""
    line = Recorded(lambda alpha: parabola(alpha, 1e-6, floor))
    found = StrongWolfe(decrease=0.3, curvature=0.4).along(line, line.zero, 1.1e-6)
    assert found.alpha == pytest.approx(1e-6, rel=0.4)
    assert found.status in ("satisfied", "rounding")
    assert found.evaluations <= 2


def test_single_precision_is_said_by_the_line():
    """Values of float32 rise by their rounding at the minimum; slopes tell that it is one."""

    def phi(alpha):
        return (1.0 if alpha == 0 else 1.0 + 2**-22), (alpha - 1) * 1e-9

    coarse, fine = Recorded(phi, eps=2**-23), Recorded(phi)
    assert StrongWolfe().along(coarse, coarse.zero, 1.0).status == "rounding"
    assert StrongWolfe().along(coarse, coarse.zero, 1.0).alpha == 1.0
    assert StrongWolfe().along(fine, fine.zero, 1.0).alpha == 0.0


def test_a_jump_ends_the_search_by_rounding():
    """No slope is ever small: the bracket closes on the kink, which is the best point."""
    line = Recorded(lambda alpha: (abs(alpha - 0.3), math.copysign(1, alpha - 0.3)))
    found = StrongWolfe(max_evaluations=200).along(line, line.zero, 1.0)
    assert found.status == "rounding"
    assert found.alpha == pytest.approx(0.3, rel=1e-13)
    assert found.evaluations < 80


def test_the_longest_step():
    line = Recorded(lambda alpha: parabola(alpha, 10.0))
    found = StrongWolfe(curvature=0.1, max_step=2.0).along(line, line.zero, 1.0)
    assert (found.status, found.alpha) == ("satisfied", 2.0)
    assert max(line.alphas) == 2.0


def test_a_line_without_end_is_followed_for_the_budget():
    line = Recorded(lambda alpha: (-alpha, -1.0))
    found = StrongWolfe(max_evaluations=7).along(line, line.zero, 1.0)
    assert (found.status, found.evaluations) == ("budget", 7)
    assert found.alpha == max(line.alphas) > 5**5


WRONG = {
    "decrease=0": (dict(decrease=0.0), "decrease=0.0"),
    "decrease above a half": (dict(decrease=0.6, curvature=0.9), "0 < decrease < 1/2"),
    "curvature below decrease": (dict(decrease=0.3, curvature=0.2), "decrease <= curvature"),
    "curvature=1": (dict(curvature=1.0), "curvature < 1"),
    "no evaluation": (dict(max_evaluations=0), "at least one"),
    "no step": (dict(max_step=0.0), "longest alpha"),
    "no number": (dict(max_step=math.nan), "longest alpha"),
}


@pytest.mark.parametrize("options, says", WRONG.values(), ids=WRONG)
def test_constants_out_of_their_domain(options, says):
    with pytest.raises(ValueError, match=says):
        StrongWolfe(**options)


@pytest.mark.parametrize("first", [0.0, -1.0, math.inf, math.nan])
def test_a_first_step_out_of_its_domain(first):
    with pytest.raises(ValueError, match="first step"):
        StrongWolfe().along(Recorded(parabola), (0.5, -1.0), first)
