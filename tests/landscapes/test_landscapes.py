"""Every landscape: what it says of itself is true."""

import math

import pytest
import torch
from scipy import optimize
from torch.testing import assert_close

from thalweg import landscapes
from thalweg.landscapes import (
    LANDSCAPES,
    StochasticLandscape,
    beale,
    cliff,
    himmelblau,
    lecun_regression,
    linear_regression,
    noisy_quadratic,
    one_one_one,
    plateau,
    quadratic,
    random_basis,
    ravine,
    recurrent_cliff,
    rosenbrock,
    rotation,
    styblinski_tang,
    two_classes,
    weight_chain,
    worst_case,
)

MADE = {name: make() for name, make in LANDSCAPES.items()} | {
    "gutter": quadratic((0.0, 1.0, 4.0), basis=random_basis(3, seed=5)),
    "rosenbrock, other": rosenbrock(a=-0.5, b=3.0),
    "worst-case in 2": worst_case(2, smoothness=3.0),
    "styblinski-tang in 3": styblinski_tang(3),
    "weight-chain of 3": weight_chain(3),
    "plateau, wide": plateau(scale=3.0, dimension=1),
    "noisy-quadratic, uneven": noisy_quadratic((1.0, 4.0), (0.5, 2.0)),
    "regression, a direction open": linear_regression(
        torch.tensor([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]]), torch.tensor([1.0, 0.0, 2.0])
    ),
}
every = pytest.mark.parametrize("land", MADE.values(), ids=MADE.keys())
isolated = [name for name, land in MADE.items() if land.isolated and land.dimension == 2]
noisy = [name for name, land in MADE.items() if isinstance(land, StochasticLandscape)]
CRITICAL = [(name, index) for name in MADE for index in range(len(MADE[name].critical_points))]


def scattered(land, count=4000, seed=1):
    """Points all over the domain."""
    low, high = torch.tensor(land.domain, dtype=torch.float64).T
    source = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, land.dimension, generator=source).double()


def around(at, radius, count=2000):
    """Points in all directions at a distance from `at`."""
    source = torch.Generator().manual_seed(2)
    aside = torch.randn(count, len(at), generator=source, dtype=torch.float64)
    return at + radius * aside / aside.norm(dim=-1, keepdim=True)


@every
def test_points_of_any_shape_are_answered_one_by_one(land):
    w = scattered(land, 6).reshape(2, 3, land.dimension)
    assert land(w).shape == (2, 3)
    assert_close(land(w)[1, 2], land(w[1, 2]), rtol=1e-12, atol=1e-12)
    assert_close(land.gradient(w)[1, 2], land.gradient(w[1, 2]), rtol=1e-12, atol=1e-12)


@every
def test_the_dtype_is_kept(land):
    assert land(land.start.float()).dtype == torch.float32
    assert land.gradient(land.start.float()).dtype == torch.float32


@every
def test_another_number_of_coordinates_is_refused(land):
    with pytest.raises(ValueError, match=f"have {land.dimension} coordinates"):
        land(torch.zeros(land.dimension + 1))


@every
def test_nothing_is_lower_than_the_minimum(land):
    assert bool((land(scattered(land)) >= land.minimum - 1e-12).all())
    lowest = torch.full((len(land.minimizers),), land.minimum, dtype=torch.float64)
    assert_close(land(land.minimizers), lowest, rtol=1e-14, atol=1e-14)


@every
def test_the_domain_holds_what_there_is_to_see(land):
    low, high = torch.tensor(land.domain, dtype=torch.float64).T
    for w in (land.start, *(each.at for each in land.critical_points)):
        assert bool(((low < w) & (w < high)).all())


@every
def test_runs_start_where_the_loss_has_a_slope(land):
    assert land.gradient(land.start).norm() > 1e-3
    assert land(land.start) > land.minimum


@pytest.mark.parametrize("name, index", CRITICAL)
def test_critical_points_are_what_they_say(name, index):
    land = MADE[name]
    one = land.critical_points[index]
    assert_close(land.gradient(one.at), torch.zeros_like(one.at), rtol=0, atol=2e-13)
    found = torch.linalg.eigvalsh(land.hessian(one.at))
    assert_close(found, one.curvatures, rtol=1e-10, atol=1e-11)
    values = land(around(one.at, 1e-2)) - land(one.at)
    below, above = bool((values < -1e-14).any()), bool((values > 1e-14).any())
    assert (below, above) in {
        "minimum": [(False, True)],
        "maximum": [(True, False)],
        "saddle": [(True, True)],
    }[one.kind]


@pytest.mark.parametrize("name", isolated)
def test_isolated_critical_points_are_all_in_the_list(name):
    land = MADE[name]
    known = torch.stack([each.at for each in land.critical_points])
    gradient = lambda w: land.gradient(torch.from_numpy(w)).numpy()
    low, high = torch.tensor(land.domain, dtype=torch.float64).T
    met = set()
    for start in torch.cat([scattered(land, 24), *(around(w, 0.1, 1) for w in known)]):
        root = optimize.root(gradient, start.numpy(), options={"xtol": 1e-13, "maxfev": 200})
        w = torch.from_numpy(root.x)
        if land.gradient(w).norm() < 1e-9 and bool(((low < w) & (w < high)).all()):
            gaps = (known - w).norm(dim=-1)
            assert gaps.min() < 1e-3, f"{w.tolist()} is not in the list"
            met.add(int(gaps.argmin()))
    assert met == set(range(len(known)))


@every
def test_minimizers_are_single_points_where_no_direction_is_flat(land):
    lowest = [c for c in land.critical_points if c.kind == "minimum" and land.is_lowest(c.at)]
    assert land.isolated == all(bool((c.curvatures > 1e-9).all()) for c in lowest)


@pytest.mark.parametrize("name", [name for name, land in MADE.items() if not land.isolated])
def test_a_continuum_of_minimizers_has_a_flat_direction(name):
    land = MADE[name]
    lowest = [c for c in land.critical_points if c.kind == "minimum"]
    assert all(c.curvatures.abs().min() < 1e-12 for c in lowest)


# Values from the literature, and closed forms worked out apart from the code.


@pytest.mark.parametrize(
    "land, at, value",
    [
        (beale(), (0.0, 0.0), 14.203125),
        (himmelblau(), (0.0, 0.0), 170.0),
        (himmelblau(), (-0.270845, -0.923039), 181.617),
        (styblinski_tang(4), (-2.903534,) * 4, 4 * -39.16617),
        (MADE["saddle"], (1.0, 2.0), 1.0),
        (MADE["monkey-saddle"], (1.0, 1.0), -1.0),
        (one_one_one(), (3.0, 2.0), 25.0),
        (weight_chain(4), (1.0, 2.0, 3.0, -1.0), 49.0),
        (cliff(edge=1.0, width=0.1, height=5.0, slope=0.5), (1.05, 0.0), 2.5 + 0.25 * 1.1025),
        (cliff(edge=1.0, width=0.1, height=5.0, slope=0.5), (2.0, 1.0), 6.25),
        (plateau(2.0), (2.0, 0.0), 0.5),
        (quadratic((1.0, 10.0)), (2.0, 3.0), 47.0),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_values_that_are_known(land, at, value):
    assert_close(float(land(torch.tensor(at, dtype=torch.float64))), value, rtol=1e-5, atol=0)


def test_rosenbrock_agrees_with_scipy():
    for w in scattered(MADE["rosenbrock"], 20):
        assert_close(float(rosenbrock()(w)), float(optimize.rosen(w.numpy())), rtol=1e-13, atol=0)


def test_a_ravine_has_the_condition_number_and_the_floor_that_were_asked_for():
    land = ravine(condition=40.0, angle=0.3)
    hessian = land.hessian(land.start)
    floor = torch.tensor([math.cos(0.3), math.sin(0.3)], dtype=torch.float64)
    assert_close(hessian @ floor, floor, rtol=1e-12, atol=1e-12)
    assert_close(float(torch.linalg.cond(hessian)), 40.0, rtol=1e-12, atol=0)


def test_a_random_basis_is_uniform_in_sign_and_repeats():
    basis = random_basis(6, seed=3)
    assert_close(basis.T @ basis, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-14)
    assert_close(basis, random_basis(6, seed=3), rtol=0, atol=0)
    corners = torch.stack([random_basis(3, seed)[0, 0].sign() for seed in range(200)])
    assert abs(float(corners.mean())) < 0.25  # without the signs of r it is always negative


def test_the_wall_of_a_cliff_is_as_steep_as_it_says():
    x = torch.linspace(0.9, 1.2, 30_001, dtype=torch.float64)
    slopes = cliff().gradient(torch.stack([x, torch.zeros_like(x)], -1))[:, 0]
    steepest = 15 * 5.0 / (8 * 0.1) + 0.5 * 1.05
    assert_close(float(slopes.max()), steepest, rtol=1e-6, atol=0)
    assert_close(float(x[slopes.argmax()]), 1.05, rtol=1e-4, atol=0)


@pytest.mark.parametrize("weight", [4.5, 6.0])
def test_the_recurrent_cliff_stands_where_it_says(weight):
    land, state, target, steps = recurrent_cliff(), 0.5, 0.7, 50
    logistic = 1 / (1 + math.exp(-state))
    foot = state - weight * logistic
    apart = land(torch.tensor([[weight, foot - 0.1], [weight, foot + 0.1]], dtype=torch.float64))
    assert apart[0] - apart[1] > 0.25
    k = weight * logistic * (1 - logistic)
    growth = sum(k**i for i in range(steps))
    slope = 2 * (logistic - target) * logistic * (1 - logistic) * growth
    found = land.gradient(torch.tensor([weight, foot], dtype=torch.float64))[1]
    assert_close(float(found), slope, rtol=1e-6, atol=0)


def test_the_plateau_is_as_flat_as_it_says():
    land = plateau(scale=2.0, dimension=3)
    ray = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    lengths = lambda r: land.gradient(r[:, None] * ray).norm(dim=-1)
    r = torch.linspace(0.01, 40.0, 4000, dtype=torch.float64)
    assert_close(lengths(r), 8 * r / (4 + r**2) ** 2, rtol=1e-12, atol=0)
    assert_close(float(r[lengths(r).argmax()]), 2 / math.sqrt(3), rtol=1e-2, atol=0)
    assert_close(
        float(lengths(r).max() / land.gradient(land.start).norm()), 43.9, rtol=1e-2, atol=0
    )
    radial = land.start / land.start.norm()
    assert radial @ land.hessian(land.start) @ radial < 0


@pytest.mark.parametrize("w1", [0.3, 1.0, -2.0])
def test_the_minimizers_of_the_1_1_1_network_are_a_hyperbola(w1):
    land, w = one_one_one(), torch.tensor([w1, 1 / w1], dtype=torch.float64)
    assert_close(float(land(w)), 0.0, rtol=0, atol=1e-30)
    curvatures = torch.linalg.eigvalsh(land.hessian(w))
    assert_close(curvatures.tolist(), [0.0, 2 * (w1**2 + w1**-2)], rtol=1e-12, atol=1e-12)


def test_on_the_worst_function_each_gradient_shows_one_more_coordinate():
    land, w = worst_case(9), worst_case(9).start
    for shown in range(9):
        assert bool((w[shown:] == 0).all())
        assert bool((w[:shown] > 0).all())
        w = w - 0.2 * land.gradient(w)


# Through noise.


@pytest.mark.parametrize("name", noisy)
@pytest.mark.parametrize("batch", [1, 4])
def test_samples_have_the_mean_and_the_covariance_that_are_declared(name, batch):
    land, source = MADE[name], torch.Generator().manual_seed(0)
    w = land.start + 0.3
    looks = 4000
    draw = torch.func.grad(lambda x: land.sample(x, batch, source))
    gradients = torch.stack([draw(w) for _ in range(looks)])
    covariance = land.gradient_covariance(w) / batch
    scale = float(covariance.diagonal().max())
    error = 5 / math.sqrt(looks)
    assert_close(gradients.mean(0), land.gradient(w), rtol=0, atol=error * math.sqrt(scale))
    assert_close(torch.cov(gradients.T), covariance, rtol=0, atol=2 * error * scale)


@pytest.mark.parametrize("name", noisy)
def test_points_seen_together_see_the_same_batch(name):
    land, seed = MADE[name], torch.Generator
    both = torch.stack([land.start, land.start])
    first, second = land.sample(both, 2, seed().manual_seed(7))
    assert first == second == land.sample(land.start, 2, seed().manual_seed(7))


def test_noisy_descent_has_the_mean_loss_of_the_closed_form():
    spectrum, deviations, lr, steps, batch, runs = (1.0, 6.0), (2.0, 0.5), 0.2, 25, 2, 4000
    source = torch.Generator().manual_seed(0)
    h, sigma = (torch.tensor(x, dtype=torch.float64) for x in (spectrum, deviations))
    w = torch.ones(runs, 2, dtype=torch.float64)
    for _ in range(steps):
        noise = torch.randn(runs, 2, generator=source, dtype=torch.float64)
        w = w - lr * (h * w + noise * sigma / batch**0.5)
    values = noisy_quadratic(spectrum, deviations)(w)
    told = landscapes.expected_loss(spectrum, deviations, lr=lr, steps=steps, batch=batch)
    assert abs(float(values.mean()) - told) < 4 * float(values.std()) / math.sqrt(runs)


def test_noise_ends_in_the_stationary_variance():
    lr, h, sigma, batch = 0.1, 3.0, 2.0, 4
    variance = lr * sigma**2 / (batch * h * (2 - lr * h))
    told = landscapes.expected_loss([h], [sigma], lr=lr, steps=400, batch=batch)
    assert_close(told, h * variance / 2, rtol=1e-12, atol=0)


def test_lecuns_inputs_have_his_eigenvalues_and_his_limit():
    land = lecun_regression()
    x, y = land.inputs, land.targets
    assert x.shape == (200, 2)
    moments = x.T @ x / len(x)
    assert_close(torch.linalg.eigvalsh(moments).tolist(), [0.036, 0.84], rtol=1e-12, atol=0)
    assert_close(land.hessian(land.start), moments, rtol=1e-12, atol=1e-12)
    assert_close(x[y > 0].mean(0).tolist(), [0.4, 0.8], rtol=0, atol=1e-14)
    assert_close(x[y < 0].mean(0).tolist(), [-0.4, -0.8], rtol=0, atol=1e-14)
    assert_close(land.minimizers[0].tolist(), [0.4 / 0.84, 0.8 / 0.84], rtol=1e-12, atol=0)
    assert_close(land.minimum, (1 - 0.8 / 0.84) / 2, rtol=1e-12, atol=0)


def test_the_classes_are_a_sample_and_not_a_grid():
    assert not torch.equal(two_classes(seed=0)[0], two_classes(seed=1)[0])


# What cannot be is refused, in words that say what to do.


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: quadratic(()), "one curvature or more"),
        (lambda: quadratic((1.0, -1.0)), r"landscapes\.saddle"),
        (lambda: quadratic((1.0, 2.0), basis=torch.ones(2, 2)), "that is not orthogonal"),
        (lambda: quadratic((1.0, 2.0), basis=rotation(0.1)[:1]), r"got one of shape \(1, 2\)"),
        (lambda: ravine(condition=0.5), "at least 1"),
        (lambda: rosenbrock(b=0.0), "above zero"),
        (lambda: styblinski_tang(9), "from 1 to 8"),
        (lambda: cliff(width=0.0), r"cliff\(width=0.0\): width must be above zero"),
        (lambda: recurrent_cliff(steps=1), "two steps or more"),
        (lambda: recurrent_cliff(target=1.0), "between 0 and 1"),
        (lambda: plateau(scale=-1.0), "above zero"),
        (lambda: weight_chain(1), r"quadratic\(\(2\.0,\)\)"),
        (lambda: worst_case(dimension=0), "at least 1"),
        (lambda: noisy_quadratic((1.0, 2.0), (1.0,)), "2 curvatures and 1 deviations"),
        (lambda: linear_regression(torch.ones(3), torch.ones(3)), r"shape \(p, n\)"),
        (lambda: linear_regression(torch.ones(3, 2), torch.ones(2)), r"shape \(p,\)"),
        (lambda: two_classes(per_class=5), "an even number"),
    ],
)
def test_what_cannot_be_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_every_landscape_on_the_shelf_is_exported():
    made = {make.__name__ for make in LANDSCAPES.values()}
    assert made <= set(landscapes.__all__)
    assert all(getattr(landscapes, name) for name in landscapes.__all__)
