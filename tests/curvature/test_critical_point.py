"""Verdicts against landscapes whose critical points are known, and nets at and off saddles."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.curvature import Hessian, critical_point
from thalweg.landscapes import LANDSCAPES, plateau

MADE = {name: make() for name, make in LANDSCAPES.items()}
CRITICAL = [(name, at) for name, land in MADE.items() for at in range(len(land.critical_points))]
SCALES = pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])


def hessian_of(land, at, scale=1.0):
    """The Hessian of a landscape, its loss counted from its minimum."""
    params = {"w": torch.as_tensor(at, dtype=torch.float64)}
    return Hessian(lambda p: scale * (land.loss(p["w"]) - land.minimum), params)


@SCALES
@pytest.mark.parametrize(("name", "which"), CRITICAL)
def test_known_critical_points_are_what_they_are(name, which, scale):
    land = MADE[name]
    known = land.critical_points[which]
    found = critical_point(hessian_of(land, known.at, scale))
    signs = known.curvatures / known.curvatures.abs().max().clamp(min=1e-12)
    if bool((signs.abs() < 1e-5).any()) and not bool((signs < -1e-5).any()):
        assert found.kind in ("not proven", "plateau")  # the Hessian does not tell
        return
    assert found.kind == known.kind, found.why
    assert found.index == int((signs < 0).sum())
    assert (found.escape is not None) == (found.kind != "minimum")


@SCALES
@pytest.mark.parametrize("name", list(MADE))
def test_away_from_critical_points_nothing_is_called_one(name, scale):
    land = MADE[name]
    found = critical_point(hessian_of(land, land.start, scale), tol=1e-6)
    assert found.kind in ("no critical point", "plateau")


def test_a_saddle_comes_with_a_way_out_that_was_measured():
    saddle = MADE["saddle"]
    found = critical_point(hessian_of(saddle, [0.0, 0.0]))
    escape = found.escape
    assert escape.curvature == pytest.approx(-2, rel=1e-10)
    assert escape.certificate < 0
    assert abs(float(escape.direction[1])) == pytest.approx(1, abs=1e-8)
    there = torch.zeros(2, dtype=torch.float64) + escape.step * escape.direction
    assert float(saddle.loss(there)) == pytest.approx(-escape.gain, rel=1e-12)
    assert escape.gain == pytest.approx(0.75)  # y = 1 of those tried


def test_a_plateau_is_flat_where_it_was_built_so():
    """At the radius r the slope is 2 / r^2 of the height, the bend 6 / r^2: 0.2 and 0.7 % at 30."""
    land = plateau()
    assert critical_point(hessian_of(land, land.start)).kind == "no critical point"
    flat = critical_point(hessian_of(land, 6 * land.start))
    assert flat.kind == "plateau"
    assert "slope changes the loss by 0.0022" in flat.why


def deep_linear_net():
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False)).double()
    return net, torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)


def test_a_linear_net_at_zero_is_at_a_saddle_of_known_index():
    """The Hessian couples the layers: its eigenvalues are +- s, each 4 times, s of Y'X / count."""
    net, x, y = deep_linear_net()
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    found = critical_point(net, F.mse_loss, (x, y))
    assert found.kind == "saddle"
    assert 1 <= found.index <= 8
    s = torch.linalg.svdvals(y.T @ x / y.numel() * 2)
    assert found.extremes.smallest.value == pytest.approx(-float(s[0]), rel=1e-6)
    assert found.escape.gain > 0


def test_a_symmetric_net_trained_on_its_ridge_is_at_a_saddle():
    """Two equal units stay equal under gradient descent; the best such net is a saddle."""
    torch.manual_seed(1)
    x = torch.linspace(-2, 2, 30, dtype=torch.float64)[:, None]
    y = torch.sin(2 * x)
    net = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        for p in (net[0].weight, net[0].bias, net[2].weight.T):
            p.copy_(torch.full_like(p, 0.5))
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=800, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert torch.allclose(net[0].weight[0], net[0].weight[1])
    found = critical_point(net, F.mse_loss, (x, y))
    assert found.kind == "saddle", found.why
    assert found.escape.gain > 0


def test_an_untrained_net_is_at_no_critical_point():
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    data = torch.randn(64, 6), torch.randint(3, (64,))
    assert critical_point(net, F.cross_entropy, data).kind == "no critical point"


def test_a_regularized_fit_is_a_minimum():
    net = nn.Linear(4, 1).double()
    x, y = torch.randn(50, 4, dtype=torch.float64), torch.randn(50, 1, dtype=torch.float64)
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(50, 1)], 1), y).solution
    with torch.no_grad():
        net.weight.copy_(solution[:4].T)
        net.bias.copy_(solution[4])
    found = critical_point(net, F.mse_loss, (x, y))
    assert found.kind == "minimum"
    assert found.index == 0
    assert found.escape is None


def test_small_curvatures_are_settled_by_more_products():
    """The ends are known to a hundredth of the largest long before the sign of the smallest."""
    curvatures = torch.logspace(-4, 0, 60, dtype=torch.float64)
    bowl = Hessian(
        lambda p: (curvatures * p["w"] ** 2).sum() / 2, {"w": torch.zeros(60, dtype=torch.float64)}
    )
    found = critical_point(bowl)
    assert found.kind == "minimum"
    assert found.extremes.smallest.value == pytest.approx(1e-4, rel=1e-2)


@pytest.mark.parametrize("given", [{"tol": 0}, {"flat": 1}, {"length": -1.0}])
def test_what_cannot_be_is_refused(given):
    (name,) = given
    with pytest.raises(ValueError, match=name):
        critical_point(hessian_of(MADE["saddle"], [0.0, 0.0]), **given)
