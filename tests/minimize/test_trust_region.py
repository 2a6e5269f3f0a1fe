"""Steps within a radius: optimality, and what each step owes the Cauchy point and the radius."""

import gc
import math
import weakref
from itertools import pairwise

import pytest
import torch

from thalweg.curvature import Matrix, Operator
from thalweg.minimize.contract import TrialStep
from thalweg.minimize.searches.trust_region import (
    Cauchy,
    Dogleg,
    Exact,
    Steihaug,
    first_radius,
    is_accepted,
    next_radius,
    reduction_ratio,
)
from thalweg.minimize.searches.trust_region.model import to_boundary

N = 12
SPECTRA = {
    "convex": [0.5 + i for i in range(N)],
    "ill-conditioned": [10.0 ** (-i / 2) for i in range(N)],
    "indefinite": [i - 3.5 for i in range(N)],
    "nearly all negative": [0.1 - i for i in range(N)],
    "singular": [0.0, 0.0, *range(1, N - 1)],
    "a multiple least one": [-2.0] * 3 + [1.0 + i for i in range(N - 3)],
    "zero": [0.0] * N,
}
STEPS = {"Cauchy": Cauchy, "dogleg": Dogleg, "Steihaug": Steihaug, "exact": Exact}
every_spectrum = pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)
every_step = pytest.mark.parametrize("subproblem", STEPS.values(), ids=STEPS)
radii = pytest.mark.parametrize("radius", [1e-3, 0.3, 2.0, 50.0])


def problem(values, seed=0):
    """B with these eigenvalues, its eigenvectors, and a gradient."""
    generator = torch.Generator().manual_seed(seed)
    n = len(values)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    entries = q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.T
    g = torch.randn(n, generator=generator, dtype=torch.float64)
    return (entries + entries.T) / 2, q, g


def value(entries, g, d):
    return float(g @ d + d @ entries @ d / 2)


def residual_of_optimality(entries, g, d, radius):
    """The multiplier that fits best, and by how much the optimality conditions fail, relatively."""
    multiplier = max(float(-(g + entries @ d) @ d / (d @ d)), 0.0)
    least = float(torch.linalg.eigvalsh(entries)[0])
    size = float(torch.linalg.matrix_norm(entries, 2)) + multiplier
    slack = (radius - float(d.norm())) / radius
    stationary = float((entries @ d + multiplier * d + g).norm()) / float(g.norm())
    return max(stationary, -(least + multiplier) / size, multiplier * slack / size, -slack)


class TestExact:
    @every_spectrum
    @radii
    @pytest.mark.parametrize("seed", range(3))
    def test_the_conditions_of_optimality_hold(self, values, radius, seed):
        entries, _, g = problem(values, seed)
        found = Exact().step(Matrix(entries), g, radius)
        assert residual_of_optimality(entries, g, found.vector, radius) < 1e-10
        assert found.decrease == pytest.approx(-value(entries, g, found.vector), rel=1e-9)

    @every_spectrum
    @radii
    def test_the_multiplier_is_bisections(self, values, radius):
        """An independent solution: |d(lambda)| falls with lambda, so halving finds the root."""
        entries, _, g = problem(values)
        low = max(0.0, -float(torch.linalg.eigvalsh(entries)[0])) + 1e-13
        high = low + float(g.norm()) / radius + 1
        eye = torch.eye(len(g), dtype=torch.float64)

        def at(multiplier):
            return -torch.linalg.solve(entries + multiplier * eye, g)

        if float(at(low).norm()) > radius:
            for _ in range(200):
                middle = (low + high) / 2
                low, high = (middle, high) if at(middle).norm() > radius else (low, middle)
        found = Exact().step(Matrix(entries), g, radius)
        torch.testing.assert_close(found.vector, at(low), rtol=1e-5, atol=1e-7 * radius)

    @every_spectrum
    def test_no_point_within_the_radius_is_lower(self, values):
        entries, _, g = problem(values, seed=5)
        found = Exact().step(Matrix(entries), g, 1.5)
        points = torch.randn(3000, N, generator=torch.Generator().manual_seed(1)).double()
        points = points / points.norm(dim=1, keepdim=True)
        points = 1.5 * torch.cat([points, points * torch.rand(3000, 1).double()])
        values = points @ g + ((points @ entries) * points).sum(1) / 2
        assert -found.decrease <= float(values.min()) + 1e-12

    @pytest.mark.parametrize("spill", [0.0, 1e-300, 1e-18, 1e-13, 1e-8, 1e-3])
    @pytest.mark.parametrize("radius", [3.0, 1e3])
    @pytest.mark.parametrize("name", ["indefinite", "a multiple least one", "nearly all negative"])
    def test_the_hard_case_and_next_to_it(self, spill, radius, name):
        """The gradient has next to nothing along the least eigenvalue's eigenvectors."""
        values = SPECTRA[name]
        entries, q, _ = problem(values)
        least = torch.tensor(values) == min(values)
        c = torch.where(least, spill, 0.1).double()
        g = q @ c
        found = Exact().step(Matrix(entries), g, radius)
        assert found.on_boundary
        assert float(found.vector.norm()) == pytest.approx(radius, rel=1e-12)
        assert residual_of_optimality(entries, g, found.vector, radius) < 1e-9 * radius

    def test_a_saddle_is_left_without_a_gradient(self):
        values = SPECTRA["indefinite"]
        entries, q, _ = problem(values)
        found = Exact().step(Matrix(entries), torch.zeros(N).double(), 2.0)
        assert abs(float(found.vector @ q[:, 0])) == pytest.approx(2.0)
        assert found.decrease == pytest.approx(2.0**2 * 3.5 / 2)

    def test_a_minimum_is_not_left(self):
        entries, _, _ = problem(SPECTRA["convex"])
        found = Exact().step(Matrix(entries), torch.zeros(N).double(), 2.0)
        assert float(found.vector.norm()) == found.decrease == 0.0
        assert not found.on_boundary

    def test_a_singular_model_that_has_a_minimum_is_not_followed_to_the_boundary(self):
        values = SPECTRA["singular"]
        entries, q, _ = problem(values)
        g = q @ torch.tensor([0.0, 0.0, *[1.0] * (N - 2)]).double()
        found = Exact().step(Matrix(entries), g, 100.0)
        assert not found.on_boundary
        torch.testing.assert_close(found.vector, -torch.linalg.pinv(entries, rtol=1e-10) @ g)


class TestDogleg:
    @radii
    @pytest.mark.parametrize("name", ["convex", "ill-conditioned"])
    def test_it_is_the_lowest_point_of_its_path(self, name, radius):
        entries, _, g = problem(SPECTRA[name])
        cauchys = -(g @ g) / (g @ entries @ g) * g
        newtons = -torch.linalg.solve(entries, g)
        t = torch.linspace(0, 1, 2001, dtype=torch.float64).unsqueeze(1)
        path = torch.cat([t * cauchys, cauchys + t * (newtons - cauchys)])
        inside = path[path.norm(dim=1) <= radius]
        values = inside @ g + ((inside @ entries) * inside).sum(1) / 2
        found = Dogleg().step(Matrix(entries), g, radius)
        assert -found.decrease <= float(values.min()) + 1e-14
        nearest = (path - found.vector).norm(dim=1).min()
        assert float(nearest) <= float(newtons.norm() + cauchys.norm()) / 2000

    def test_newtons_step_inside(self):
        entries, _, g = problem(SPECTRA["convex"])
        found = Dogleg().step(Matrix(entries), g, 1e3)
        torch.testing.assert_close(found.vector, -torch.linalg.solve(entries, g))
        assert not found.on_boundary

    def test_the_cauchy_point_where_there_is_no_path(self):
        entries, _, g = problem(SPECTRA["nearly all negative"])
        found = Dogleg().step(Matrix(entries), g, 1.0)
        cauchys = Cauchy().step(Matrix(entries), g, 1.0)
        torch.testing.assert_close(found.vector, cauchys.vector)
        assert found.negative is not None


class TestSteihaug:
    def test_without_a_boundary_it_solves_newtons_equation(self):
        entries, _, g = problem(SPECTRA["convex"])
        found = Steihaug(tol=1e-12).step(Matrix(entries), g, 1e6)
        torch.testing.assert_close(found.vector, -torch.linalg.solve(entries, g))
        assert found.products <= N

    @pytest.mark.parametrize("tol", [0.5, 0.1, 1e-3])
    def test_the_residual_is_as_small_as_asked(self, tol):
        entries, _, g = problem(SPECTRA["ill-conditioned"])
        found = Steihaug(tol=tol).step(Matrix(entries), g, 1e9)
        assert float((g + entries @ found.vector).norm()) <= tol * float(g.norm()) * (1 + 1e-9)

    @radii
    def test_on_a_convex_model_at_least_half_of_the_best(self, radius):
        for seed in range(5):
            entries, _, g = problem(SPECTRA["ill-conditioned"], seed)
            found = Steihaug(tol=0.0).step(Matrix(entries), g, radius)
            best = Exact().step(Matrix(entries), g, radius)
            assert best.decrease * (1 + 1e-9) >= found.decrease >= best.decrease / 2

    def test_each_product_lowers_the_model_and_lengthens_the_step(self):
        entries, _, g = problem(SPECTRA["ill-conditioned"])
        found = [Steihaug(0.0, k).step(Matrix(entries), g, 5.0) for k in range(1, N)]
        assert [step.products for step in found if not step.on_boundary] == list(
            range(1, 1 + sum(not step.on_boundary for step in found))
        )
        for before, after in pairwise(found):
            assert after.decrease >= before.decrease * (1 - 1e-12)
            assert float(after.vector.norm()) >= float(before.vector.norm()) * (1 - 1e-12)

    @pytest.mark.parametrize("name", ["indefinite", "nearly all negative", "a multiple least one"])
    def test_negative_curvature_is_followed_to_the_boundary_and_shown(self, name):
        entries, _, g = problem(SPECTRA[name])
        found = Steihaug(tol=1e-8).step(Matrix(entries), g, 1e4)
        v = found.negative
        assert found.on_boundary
        assert float(v.norm()) == pytest.approx(1.0)
        assert float(v @ entries @ v) < 0

    @pytest.mark.parametrize("options", [dict(tol=1.0), dict(tol=-0.1), dict(max_products=0)])
    def test_settings_out_of_their_domain(self, options):
        with pytest.raises(ValueError, match=next(iter(options))):
            Steihaug(**options)


@every_step
@every_spectrum
@radii
def test_a_step_stays_within_the_radius_and_beats_the_cauchy_point(subproblem, values, radius):
    for seed in range(3):
        entries, _, g = problem(values, seed)
        model = Matrix(entries)
        found = subproblem().step(model, g, radius)
        length = float(found.vector.norm())
        assert length <= radius * (1 + 1e-12)
        assert found.on_boundary == (length > radius * (1 - 1e-12))
        assert found.decrease == pytest.approx(-value(entries, g, found.vector), rel=1e-9)
        assert found.decrease >= Cauchy().step(model, g, radius).decrease * (1 - 1e-12)
        assert found.products <= N + 1


@every_spectrum
@radii
def test_the_cauchy_point_is_the_lowest_on_its_ray(values, radius):
    entries, _, g = problem(values)
    t = torch.linspace(0, 1, 4001, dtype=torch.float64).unsqueeze(1)
    ray = -t * radius * g / g.norm()
    values = ray @ g + ((ray @ entries) * ray).sum(1) / 2
    found = Cauchy().step(Matrix(entries), g, radius)
    assert -found.decrease <= float(values.min()) * (1 - 1e-13)
    nearest = float((ray - found.vector).norm(dim=1).min())
    assert nearest <= radius / 4000


@every_step
@every_spectrum
@pytest.mark.parametrize("scale", [2.0**-300, 2.0**-27, 2.0**27, 2.0**300])
def test_the_scale_of_the_loss_changes_nothing(subproblem, values, scale):
    entries, _, g = problem(values)
    for radius in (0.3, 50.0):
        plain = subproblem().step(Matrix(entries), g, radius)
        scaled = subproblem().step(Matrix(scale * entries), scale * g, radius)
        torch.testing.assert_close(scaled.vector, plain.vector, rtol=1e-9, atol=1e-12 * radius)
        assert scaled.decrease / scale == pytest.approx(plain.decrease, rel=1e-9)
        assert (scaled.products, scaled.on_boundary) == (plain.products, plain.on_boundary)


@every_step
@pytest.mark.parametrize("name", ["convex", "indefinite", "nearly all negative"])
def test_negative_curvature_that_is_shown_is_there(subproblem, name):
    entries, _, g = problem(SPECTRA[name])
    v = subproblem().step(Matrix(entries), g, 10.0).negative
    if name == "convex":
        assert v is None
    if v is not None:
        assert float(v @ entries @ v) < 0
        assert float(v.norm()) == pytest.approx(1.0)


@every_step
def test_single_precision(subproblem):
    entries, _, g = problem(SPECTRA["convex"])
    wide = subproblem().step(Matrix(entries), g, 0.3)
    narrow = subproblem().step(Matrix(entries.float()), g.float(), 0.3)
    assert narrow.vector.dtype == torch.float32
    torch.testing.assert_close(narrow.vector.double(), wide.vector, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("subproblem", [Cauchy, Dogleg, Steihaug])
def test_no_gradient_no_step(subproblem):
    entries, _, g = problem(SPECTRA["indefinite"])
    found = subproblem().step(Matrix(entries), 0 * g, 1.0)
    assert (float(found.vector.norm()), found.decrease, found.products) == (0.0, 0.0, 0)


class Counting(Operator):
    """The products of a matrix, counted."""

    def __init__(self, entries):
        self.name, self.size, self.facts = "Counting", len(entries), frozenset()
        self.dtype, self.device = entries.dtype, entries.device
        self.entries, self.products = entries, 0

    def _product(self, vector):
        self.products += 1
        return self.entries @ vector


@every_step
def test_products_are_counted(subproblem):
    entries, _, g = problem(SPECTRA["convex"])
    model = Counting(entries)
    assert subproblem().step(model, g, 0.5).products == model.products


@pytest.mark.parametrize("subproblem", [Dogleg, Exact])
class TestWrittenDown:
    def test_a_refused_step_costs_no_products_again(self, subproblem):
        entries, _, g = problem(SPECTRA["convex"])
        model, search = Counting(entries), subproblem()
        first, second = (search.step(model, g, radius) for radius in (0.5, 0.1))
        assert (first.products, second.products, model.products) == (N, 0, N)
        torch.testing.assert_close(second.vector, subproblem().step(Matrix(entries), g, 0.1).vector)

    def test_another_model_is_written_down_anew(self, subproblem):
        entries, _, g = problem(SPECTRA["convex"])
        search = subproblem()
        search.step(Matrix(entries), g, 0.5)
        other = search.step(Matrix(2 * entries), g, 0.5)
        expected = subproblem().step(Matrix(2 * entries), g, 0.5)
        torch.testing.assert_close(other.vector, expected.vector)

    def test_the_model_is_not_kept_alive(self, subproblem):
        entries, _, g = problem(SPECTRA["convex"])
        model, search = Matrix(entries), subproblem()
        search.step(model, g, 0.5)
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None

    def test_a_large_model_is_refused_with_advice(self, subproblem):
        entries, _, g = problem(SPECTRA["convex"])
        with pytest.raises(ValueError, match=r"12 x 12\. Use Steihaug"):
            subproblem(max_size=11).step(Matrix(entries), g, 0.5)

    def test_a_model_that_is_not_finite(self, subproblem):
        entries, _, g = problem(SPECTRA["convex"])
        with pytest.raises(FloatingPointError, match="not finite"):
            subproblem().step(Counting(entries * math.nan), g, 0.5)


@every_step
@pytest.mark.parametrize(
    "change, error, says",
    [
        (dict(radius=0.0), ValueError, "positive length"),
        (dict(radius=math.nan), ValueError, "positive length"),
        (dict(radius=math.inf), ValueError, "positive length"),
        (dict(gradient=torch.zeros(3).double()), ValueError, r"shape \(12,\)"),
        (dict(gradient=torch.zeros(N)), TypeError, "convert it"),
        (dict(gradient=torch.full((N,), math.nan).double()), ValueError, "not finite"),
        (dict(model="B"), TypeError, "give an Operator"),
    ],
)
def test_problems_that_make_no_sense(subproblem, change, error, says):
    entries, _, g = problem(SPECTRA["convex"])
    with pytest.raises(error, match=says):
        subproblem().step(**(dict(model=Matrix(entries), gradient=g, radius=1.0) | change))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_way_to_the_boundary_does_not_cancel(sign):
    """From 1e-12 inside of the unit circle, outwards and back through the middle."""
    d, p = (
        torch.tensor([1 - 1e-12, 0.0], dtype=torch.float64),
        torch.tensor([float(sign), 0.0]).double(),
    )
    inside = 1 - float(d[0])
    expected = inside if sign > 0 else 2 - inside
    assert to_boundary(d, p, 1.0) == pytest.approx(expected, rel=1e-12)


def trial(length, on_boundary):
    return TrialStep(torch.tensor([length, 0.0]), 1.0, on_boundary, 1)


class TestRadius:
    @pytest.mark.parametrize(
        "ratio, length, on_boundary, expected",
        [
            (0.9, 2.0, True, 4.0),
            (0.9, 1.0, False, 2.0),
            (0.5, 2.0, True, 2.0),
            (0.75, 2.0, True, 2.0),
            (0.25, 2.0, True, 2.0),
            (0.2, 2.0, True, 0.5),
            (0.2, 1.0, False, 0.25),
            (-3.0, 1.0, False, 0.25),
            (-math.inf, 2.0, True, 0.5),
            (math.nan, 2.0, True, 0.5),
            (-1.0, 0.0, False, 0.5),
        ],
    )
    def test_the_rule(self, ratio, length, on_boundary, expected):
        assert next_radius(2.0, ratio, trial(length, on_boundary)) == expected

    def test_the_longest(self):
        assert next_radius(2.0, 1.0, trial(2.0, True), longest=3.0) == 3.0

    @pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
    def test_the_ratio(self, scale):
        ratio = reduction_ratio(3.0 * scale, 2.0 * scale, 4.0 * scale, eps=2**-52)
        assert ratio == pytest.approx(0.25)
        assert is_accepted(ratio)

    @pytest.mark.parametrize("after", [math.nan, math.inf, -math.inf])
    def test_a_loss_that_is_not_finite_is_refused(self, after):
        assert not is_accepted(reduction_ratio(3.0, after, 1.0, eps=2**-52))

    def test_rounding_is_no_reason_to_refuse(self):
        """The loss rises by its last digit where the model promises less than that."""
        assert reduction_ratio(1.0, 1 + 2**-52, 1e-20, eps=2**-52) > 0.75
        assert reduction_ratio(1.0, 1 + 1e-9, 1e-20, eps=2**-52) < 0

    def test_nothing_promised_of_nothing(self):
        assert not is_accepted(reduction_ratio(0.0, 0.0, 0.0, eps=2**-52))

    @pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
    def test_the_first_is_the_cauchy_steps_length(self, scale):
        entries, _, g = problem(SPECTRA["convex"])
        expected = float(g.norm()) ** 3 / float(g @ entries @ g)
        assert first_radius(Matrix(scale * entries), scale * g) == pytest.approx(expected)

    def test_the_first_where_nothing_is_known(self):
        entries, _, g = problem(SPECTRA["zero"])
        assert first_radius(Matrix(entries), g) == 1.0
        assert first_radius(Matrix(entries), 0 * g) == 1.0


def rosenbrock(x):
    a, b = float(x[0]), float(x[1])
    value = 100 * (b - a * a) ** 2 + (1 - a) ** 2
    gradient = [-400 * a * (b - a * a) - 2 * (1 - a), 200 * (b - a * a)]
    hessian = [[1200 * a * a - 400 * b + 2, -400 * a], [-400 * a, 200.0]]
    return value, torch.tensor(gradient).double(), Matrix(torch.tensor(hessian).double())


@pytest.mark.parametrize("name, most", [("dogleg", 40), ("Steihaug", 45), ("exact", 30)])
def test_rosenbrocks_valley_is_followed_to_its_end(name, most):
    """scipy's trust-exact takes 26 evaluations to here, its trust-ncg 30 and its dogleg 25."""
    x, search = torch.tensor([-1.2, 1.0]).double(), STEPS[name]()
    value, gradient, model = rosenbrock(x)
    radius, evaluations = first_radius(model, gradient), 1
    while float(gradient.norm()) > 1e-6 and evaluations < most:
        step = search.step(model, gradient, radius)
        after = rosenbrock(x + step.vector)
        evaluations += 1
        ratio = reduction_ratio(value, after[0], step.decrease, 2**-52)
        radius = next_radius(radius, ratio, step)
        if is_accepted(ratio):
            x, (value, gradient, model) = x + step.vector, after
    assert float(gradient.norm()) <= 1e-6
    torch.testing.assert_close(x, torch.ones(2).double(), rtol=0, atol=1e-5)
