"""Line searches one by one, against what their papers say of them."""

import math
import random

import pytest
from published_lines import CASES, IDS, Recorded, barred, parabola

from thalweg.minimize.searches import (
    Backtracking,
    ExactQuadratic,
    Fixed,
    HagerZhang,
    StochasticArmijo,
)
from thalweg.minimize.searches.conditions import armijo, slope_fell
from thalweg.minimize.searches.exact_quadratic import exact_step
from thalweg.minimize.searches.interpolation import cubic, quadratic, secant
from thalweg.minimize.searches.trials import Point

seeds = pytest.mark.parametrize("seed", range(20))


def polynomial(*coefficients):
    """Sum of c_k alpha^k, and its slope."""

    def phi(alpha):
        value = sum(c * alpha**k for k, c in enumerate(coefficients))
        slope = sum(k * c * alpha ** (k - 1) for k, c in enumerate(coefficients) if k)
        return value, slope

    return phi


@pytest.mark.parametrize("c1", [1e-4, 0.1, 0.4])
@pytest.mark.parametrize("share", [0.01, 0.99, 1.01, 1.8])
def test_of_a_quadratic_the_slopes_say_what_its_values_say(c1, share):
    """phi = alpha^2 / 2 - alpha fulfils Armijo's condition up to alpha = 2 (1 - c1)."""
    phi = polynomial(0, -1, 0.5)
    alpha = share * 2 * (1 - c1)
    start, point = Point(0.0, *phi(0.0)), Point(alpha, *phi(alpha))
    assert slope_fell(point, start, c1) == armijo(point, start, c1) == (share < 1)


class TestInterpolation:
    def two(self, phi, seed):
        draw = random.Random(seed)
        return [Point(alpha, *phi(alpha)) for alpha in (draw.uniform(-3, 3), draw.uniform(-3, 3))]

    @seeds
    def test_a_cubic_is_recovered(self, seed):
        """alpha^3 - 3 p^2 alpha has its minimum at p, whatever the points."""
        p = 0.1 + seed / 10
        a, b = self.two(polynomial(2.0, -3 * p * p, 0.0, 1.0), seed)
        assert cubic(a, b) == pytest.approx(p, rel=1e-6)
        assert cubic(b, a) == pytest.approx(p, rel=1e-6)

    @seeds
    def test_a_parabola_is_recovered_by_all(self, seed):
        a, b = self.two(lambda alpha: parabola(alpha, 0.7), seed)
        for minimizer in (cubic, quadratic, secant):
            assert minimizer(a, b) == pytest.approx(0.7, rel=1e-6)

    def test_a_rising_cubic_has_no_minimum(self):
        phi = polynomial(0.0, 1.0, 0.0, 1.0)
        assert cubic(Point(0.0, *phi(0.0)), Point(1.0, *phi(1.0))) is None

    def test_huge_values_give_no_overflow(self):
        low, high = Point(0.0, 1e308, -1e308), Point(1.0, -1e308, 1e308)
        for minimizer in (cubic, quadratic, secant):
            found = minimizer(low, high)
            assert found is None or math.isfinite(found)

    def test_one_point_twice_has_no_minimum(self):
        a = Point(1.0, 2.0, -3.0)
        assert cubic(a, a) is quadratic(a, a) is secant(a, a) is None


class TestFixed:
    def test_the_step_is_in_units_of_the_length(self):
        line = Recorded(parabola)
        assert Fixed(0.25).along(line, line.zero, 2.0).alpha == 0.5

    @pytest.mark.parametrize("step", [0.0, -1.0, math.inf, math.nan])
    def test_a_step_out_of_its_domain(self, step):
        with pytest.raises(ValueError, match="step="):
            Fixed(step)


class TestExactQuadratic:
    @pytest.mark.parametrize("minimum", [1e-6, 0.3, 1.0, 50.0])
    @pytest.mark.parametrize("first", [1e-2, 1.0, 1e3])
    def test_a_quadratic_takes_two_evaluations(self, minimum, first):
        line = Recorded(lambda alpha: parabola(alpha, minimum, floor=3.0))
        found = ExactQuadratic().along(line, line.zero, first)
        assert found.status == "satisfied"
        assert found.evaluations <= 2
        assert found.alpha == pytest.approx(minimum, rel=1e-8)

    def test_a_first_step_that_is_exact_takes_one(self):
        line = Recorded(lambda alpha: parabola(alpha, 0.3))
        first = exact_step(slope=line.zero[1], curvature=1.0)
        assert ExactQuadratic().along(line, line.zero, first).evaluations == 1

    def test_elsewhere_the_secant_method_goes_on(self):
        """alpha^4/4 - alpha has its minimum at 1."""
        line = Recorded(polynomial(0.0, -1.0, 0.0, 0.0, 0.25))
        found = ExactQuadratic(max_evaluations=20).along(line, line.zero, 2.0)
        assert found.status == "satisfied"
        assert 2 < found.evaluations < 20
        assert found.alpha == pytest.approx(1.0, rel=1e-7)

    def test_a_line_without_a_minimum_ends_by_the_budget(self):
        line = Recorded(polynomial(0.0, -1.0, -1.0))
        found = ExactQuadratic(max_evaluations=5).along(line, line.zero, 1.0)
        assert (found.status, found.evaluations) == ("budget", 5)
        assert line.alphas == [1.0, 4.0, 16.0, 64.0, 256.0]
        assert found.alpha == 256.0

    def test_a_slope_counts_as_zero_by_the_precision_of_the_line(self):
        def phi(alpha):
            value, slope = parabola(alpha)
            return value, slope + 1e-7 * (alpha > 0)

        coarse, fine = Recorded(phi, eps=2**-23), Recorded(phi)
        assert ExactQuadratic().along(coarse, coarse.zero, 1.0).evaluations == 1
        assert ExactQuadratic().along(fine, fine.zero, 1.0).evaluations > 1

    def test_a_curvature_beyond_all_bounds_is_survived(self):
        """The step underflows to zero, where nothing is to be learned."""
        line = Recorded(lambda alpha: (alpha * 1e300, 1e300 if alpha else -1e-300))
        found = ExactQuadratic().along(line, line.zero, 1e-12)
        assert (found.status, found.alpha) == ("budget", 0.0)
        assert min(line.alphas) > 0

    @pytest.mark.parametrize("tol", [0.0, 1.0, math.nan])
    def test_a_tolerance_out_of_its_domain(self, tol):
        with pytest.raises(ValueError, match="tol="):
            ExactQuadratic(tol)


class TestBacktracking:
    @pytest.mark.parametrize("phi, c1, c2, first, count", CASES, ids=IDS)
    def test_the_loss_falls_enough_and_no_shorter_than_need_be(self, phi, c1, c2, first, count):
        line = Recorded(phi)
        value, slope = line.zero
        found = Backtracking(c1).along(line, line.zero, first)
        assert found.status == "satisfied"
        assert found.value <= value + c1 * found.alpha * slope
        for alpha in line.alphas[:-1]:
            assert phi(alpha)[0] > value + c1 * alpha * slope

    def test_each_trial_is_between_a_tenth_and_a_half_of_the_last(self):
        line = Recorded(lambda alpha: parabola(alpha, 1e-3))
        Backtracking().along(line, line.zero, 1e4)
        shares = [b / a for a, b in zip(line.alphas, line.alphas[1:], strict=False)]
        assert len(shares) >= 1
        assert all(0.1 - 1e-12 <= share <= 0.5 + 1e-12 for share in shares)

    def test_the_trial_after_the_first_is_the_cubics_minimum(self):
        line = Recorded(lambda alpha: parabola(alpha, 0.6))
        assert Backtracking(0.3).along(line, line.zero, 2.0).alpha == pytest.approx(0.6)

    def test_the_next_trial_is_at_most_half_of_the_last(self):
        """The minimum is at 1, but 1.05 was refused: the condition is alpha <= 2 (1 - c1)."""
        line = Recorded(parabola)
        assert Backtracking(0.49).along(line, line.zero, 1.05).alpha == pytest.approx(0.525)

    @pytest.mark.parametrize("minimum, alpha", [(1.0, 1.0), (0.5, 0.0)])
    def test_of_values_alike_to_rounding_the_slope_tells(self, minimum, alpha):
        """Values of float32 that rise by a digit; the slopes are those of a parabola."""
        value = 1.0 + 2**-22
        line = Recorded(lambda a: (value if a else 1.0, 1e-9 * (a / minimum - 1)), eps=2**-23)
        found = Backtracking().along(line, line.zero, 1.0)
        assert (found.status, found.alpha) == ("rounding", alpha)

    def test_slopes_decide_where_values_are_rounded(self):
        line = Recorded(lambda alpha: parabola(alpha, 1e-6, 1e10))
        zero = (line.zero[0], -1e-6)
        assert Backtracking().along(line, zero, 1e-6).alpha == 1e-6

    def test_what_is_below_rounding_is_given_up(self):
        line = Recorded(lambda alpha: (1.0 + (alpha > 0) * 1e-3, -1e-9))
        found = Backtracking().along(line, line.zero, 1.0)
        assert (found.status, found.alpha) == ("rounding", 0.0)
        assert found.evaluations <= 8


class TestHagerZhang:
    @pytest.mark.parametrize("phi, c1, c2, first, count", CASES, ids=IDS)
    def test_the_conditions_hold(self, phi, c1, c2, first, count):
        line = Recorded(phi)
        value, slope = line.zero
        found = HagerZhang(c1, c2).along(line, line.zero, first)
        assert found.status == "satisfied"
        fell = found.value <= value + c1 * found.alpha * slope
        approximately = found.value <= value + 1e-6 * abs(value)
        approximately &= found.slope <= (2 * c1 - 1) * slope
        assert fell or approximately
        assert found.slope >= c2 * slope

    def test_the_cases_take_114_evaluations(self):
        """143 with the paper's secants alone; 268 published, to conditions that may be stricter."""
        lines = [(Recorded(phi), c1, c2, first) for phi, c1, c2, first, _ in CASES]
        found = [HagerZhang(c1, c2).along(line, line.zero, first) for line, c1, c2, first in lines]
        assert sum(f.evaluations for f in found) == 114

    def test_slopes_alone_do_not_do(self):
        """At 1 the slope is zero, but the loss is higher than it may be."""
        line = Recorded(lambda alpha: (5.0, 0.0) if alpha >= 1 else parabola(alpha, 0.5))
        found = HagerZhang(0.1, 0.5).along(line, line.zero, 1.0)
        assert (found.status, found.alpha < 1) == ("satisfied", True)

    def test_the_longest_step_is_enough(self):
        line = Recorded(lambda alpha: parabola(alpha, 10.0))
        found = HagerZhang(curvature=0.1, max_step=2.0).along(line, line.zero, 1.0)
        assert (found.status, found.alpha) == ("satisfied", 2.0)

    def test_a_slope_at_the_bound_is_told_from_one_beyond(self):
        """Of (alpha - 1)^2/2 half of the slope is left at 1/2."""
        line = Recorded(parabola)
        search = HagerZhang(0.1, 0.5)
        assert search.along(line, line.zero, 0.51).evaluations == 1
        assert search.along(line, line.zero, 0.49).evaluations > 1

    def test_a_minimum_is_found_to_the_precision_of_slopes(self):
        """1e4 + (alpha - 1e-5)^2/2 is flat to rounding; exact steps differ by their slopes."""
        line = Recorded(lambda alpha: parabola(alpha, 1e-5, 1e4))
        found = HagerZhang(0.01, 0.01).along(line, line.zero, 1.0)
        assert found.status == "satisfied"
        assert found.alpha == pytest.approx(1e-5, rel=0.011)

    def test_a_hill_is_not_climbed(self):
        """The line falls behind a hill, lower than it may: the minimum before the hill is found."""
        phi = polynomial(0.0, -1.0, 4.0, -1.0)
        line = Recorded(phi)
        found = HagerZhang(0.1, 0.1).along(line, line.zero, 3.0)
        assert phi(3.0)[0] > 0
        assert phi(3.0)[1] < 0
        assert 0 < found.alpha < 0.2

    @pytest.mark.parametrize("beyond", [0.5, 1e-3, 1e-9])
    @pytest.mark.parametrize("first", [1.0, 1e3])
    def test_a_loss_that_ends_is_a_hill(self, beyond, first):
        line = Recorded(barred(lambda alpha: parabola(alpha, beyond / 2), beyond))
        found = HagerZhang(0.1, 0.1).along(line, line.zero, first)
        assert found.status == "satisfied"
        assert 0.45 * beyond <= found.alpha <= beyond
        assert found.evaluations <= 8 + math.log10(max(first / beyond, 1))

    def test_a_jump_ends_the_search_by_rounding(self):
        """The line falls to 0.3 and rises from a higher value there: no step has a small slope."""
        line = Recorded(lambda alpha: (-alpha, -1.0) if alpha < 0.3 else (1.0 + alpha, 1.0))
        found = HagerZhang(curvature=0.5, max_evaluations=300).along(line, line.zero, 0.7)
        assert found.status == "rounding"
        assert found.alpha == pytest.approx(0.3, rel=1e-12)
        assert found.evaluations < 120

    def test_an_allowance_out_of_its_domain(self):
        with pytest.raises(ValueError, match="allowance"):
            HagerZhang(allowance=-1.0)


class TestStochasticArmijo:
    def line(self):
        return Recorded(lambda alpha: parabola(alpha, 1.0))

    def test_steps_shrink_by_the_factor_until_the_loss_falls_enough(self):
        """The condition (alpha - 1)^2/2 - 1/2 <= -c alpha is alpha <= 2 (1 - c)."""
        line = self.line()
        found = StochasticArmijo(decrease=0.1, shrink=0.8).along(line, line.zero, 4.0)
        assert found.alpha == pytest.approx(4 * 0.8**4)
        assert found.alpha <= 1.8 < found.alpha / 0.8

    def test_the_step_grows_between_minibatches_and_not_within(self):
        search = StochasticArmijo(growth=1.5)
        line = self.line()
        alphas = [search.along(line, line.zero, 0.1).alpha for _ in range(4)]
        assert alphas == pytest.approx([0.1 * 1.5**k for k in range(4)])

    def test_the_longest_step_bounds_the_growth(self):
        search = StochasticArmijo(growth=10.0, max_step=0.5)
        line = self.line()
        assert [search.along(line, line.zero, 0.1).alpha for _ in range(3)] == [0.1, 0.5, 0.5]

    def test_a_minibatch_without_a_finite_loss_is_forgotten(self):
        search, line = StochasticArmijo(), self.line()
        search.along(line, line.zero, 0.1)
        broken = Recorded(lambda alpha: (math.nan, math.nan))
        assert search.along(broken, (1.0, -1.0), 0.1).status == "not finite"
        assert search.step == 0.1

    def test_it_goes_on_from_its_state(self):
        line = self.line()
        search, other = StochasticArmijo(growth=1.3), StochasticArmijo(growth=1.3)
        search.along(line, line.zero, 0.1)
        other.load_state_dict(search.state_dict())
        assert other.along(line, line.zero, 7.0) == search.along(line, line.zero, 9.0)

    def test_least_squares_that_can_be_fitted_converge_without_a_learning_rate(self):
        """Interpolation: one line a sample, all through the same point; see the paper's theorem 1.

        The rate for strongly convex f_i-sums: the squared distance falls by a constant factor a
        step in expectation, so some hundred steps suffice for ten digits here.
        """
        draw = random.Random(0)
        rows = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(10)]
        solution, x = (1.0, -2.0), [0.0, 0.0]
        search = StochasticArmijo(growth=1.2)
        for _ in range(400):
            row = draw.choice(rows)

            def loss(x, row=row):
                error = sum(r * (a - b) for r, a, b in zip(row, x, solution, strict=True))
                return error**2 / 2, [error * r for r in row]

            value, gradient = loss(x)
            slope = -sum(g * g for g in gradient)
            if slope > -1e-280:
                continue

            def phi(alpha, x=tuple(x), gradient=gradient, loss=loss):
                at = [a - alpha * g for a, g in zip(x, gradient, strict=True)]
                value, new = loss(at)
                return value, -sum(g * h for g, h in zip(gradient, new, strict=True))

            found = search.along(Recorded(phi), (value, slope), 1.0)
            x = [a - found.alpha * g for a, g in zip(x, gradient, strict=True)]
        assert x == pytest.approx(solution, abs=1e-6)

    @pytest.mark.parametrize("options", [dict(shrink=1.0), dict(shrink=0.0), dict(growth=0.9)])
    def test_factors_out_of_their_domain(self, options):
        with pytest.raises(ValueError, match="factor"):
            StochasticArmijo(**options)


def test_the_table_has_every_case_once():
    assert len(CASES) == 24
