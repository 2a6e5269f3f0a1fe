"""Rates against closed forms on quadratics and against measured divergence on small nets."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.curvature import Hessian, Matrix, learning_rate

CURVATURES = torch.tensor([7.0, 3.0, 0.4, 0.01, 0.0, -0.2], dtype=torch.float64)
LARGEST = 7.0
LIMITS = {  # of lr times curvature: the largest stable, and the one that converges fastest
    ("gradient-descent", 0.0): (2, 1),
    ("momentum", 0.9): (3.8, 1.9),
    ("nesterov", 0.9): (3.8 / 2.8, 1),
    ("adam", 0.9): (38, 19),
}
CASES = pytest.mark.parametrize(("method", "momentum"), list(LIMITS))


def turned():
    """A random orthogonal matrix, so that no coordinate is an eigenvector."""
    return torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]


def quadratic(scale=1.0):
    q = turned()
    matrix = scale * q @ torch.diag(CURVATURES) @ q.T
    params = {"w": torch.randn(6, dtype=torch.float64)}
    return Hessian(lambda p: p["w"] @ matrix @ p["w"] / 2, params)


@CASES
@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_quadratic_rates_are_the_closed_forms(method, momentum, scale):
    found = learning_rate(quadratic(scale), method=method, momentum=momentum, tol=1e-10)
    limit, fastest = LIMITS[method, momentum]
    assert found.maximal.value == pytest.approx(limit / LARGEST / scale, rel=1e-8)
    assert found.optimal.value == pytest.approx(fastest / LARGEST / scale, rel=1e-8)
    assert found.maximal.low <= limit / LARGEST / scale <= found.maximal.high
    assert found.confirmed is True


def test_the_rate_along_the_gradient_goes_to_the_bottom():
    hessian = quadratic()
    rate = learning_rate(hessian).along_gradient
    losses = [hessian.loss_at(-s * rate * hessian.gradient) for s in (0.99, 1.0, 1.01)]
    assert min(losses) == losses[1]


def test_a_diagonal_stands_for_an_adaptive_method():
    hessian = Hessian(
        lambda p: (torch.tensor([100.0, 1.0], dtype=torch.float64) * p["w"] ** 2).sum() / 2,
        {"w": torch.ones(2, dtype=torch.float64)},
    )
    diagonal = torch.tensor([50.0, 4.0], dtype=torch.float64)
    found = learning_rate(hessian, diagonal=diagonal, tol=1e-10)
    assert found.maximal.value == pytest.approx(2 / (100 / 50), rel=1e-8)
    assert found.confirmed is True


def test_without_upward_curvature_every_rate_is_stable():
    hessian = Hessian(lambda p: -(p["w"] ** 2).sum(), {"w": torch.ones(3, dtype=torch.float64)})
    found = learning_rate(hessian)
    assert found.maximal.value == found.optimal.value == found.along_gradient == math.inf
    assert found.confirmed is None


def trained_net():
    """A small net near a minimum of its loss, in float64."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    x = torch.randn(40, 2, dtype=torch.float64)
    y = torch.sin(x.sum(1, keepdim=True))
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=400, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y) + 1e-3 * sum(p.square().sum() for p in net.parameters())
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return net, x, y


def penalty(params):
    return 1e-3 * sum(p.square().sum() for p in params.values())


def runs_off(net, x, y, made, lr):
    """Whether an optimizer of PyTorch leaves the minimum, started beside it."""
    copy = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    copy.load_state_dict(net.state_dict())
    with torch.no_grad():
        for p in copy.parameters():
            p += 1e-6 * torch.randn_like(p)
    optimizer = made(copy.parameters(), lr)
    norms = []
    for _ in range(600):
        optimizer.zero_grad()
        loss = F.mse_loss(copy(x), y) + penalty(dict(copy.named_parameters()))
        loss.backward()
        norms.append(float(sum(p.grad.square().sum() for p in copy.parameters())))
        optimizer.step()
    return norms[-1] > norms[0]


@pytest.mark.parametrize(
    ("method", "momentum", "made"),
    [
        ("gradient-descent", None, lambda ps, lr: torch.optim.SGD(ps, lr)),
        ("momentum", 0.8, lambda ps, lr: torch.optim.SGD(ps, lr, momentum=0.8)),
        ("nesterov", 0.8, lambda ps, lr: torch.optim.SGD(ps, lr, momentum=0.8, nesterov=True)),
    ],
)
def test_measured_divergence_of_a_net_is_within_one_percent(method, momentum, made):
    net, x, y = trained_net()
    found = learning_rate(
        net, F.mse_loss, (x, y), penalty=penalty, method=method, momentum=momentum, tol=1e-6
    )
    assert not runs_off(net, x, y, made, 0.99 * found.maximal.value)
    assert runs_off(net, x, y, made, 1.01 * found.maximal.value)
    assert found.confirmed is True


@CASES
def test_a_direction_curved_downwards_does_not_disturb_the_check(method, momentum):
    """Along it every rate leaves; with momentum, by a factor of 3.5 at each of 36 steps."""
    curved = torch.tensor([1.0, -0.6], dtype=torch.float64)
    wave = torch.tensor([1e-3, 1e-3], dtype=torch.float64)

    def loss(p):
        w = p["w"]
        return (curved * w**2).sum() / 2 + (wave * w**3).sum() + 1e-2 * w[0] * w[1] ** 2

    hessian = Hessian(loss, {"w": torch.full((2,), 0.3, dtype=torch.float64)})
    assert learning_rate(hessian, method=method, momentum=momentum).confirmed is True


def test_a_loss_too_rough_for_steps_is_said_to_be():
    """A kink where the parameters are: the slope changes by 1 on either side, however near."""
    start = torch.ones(2, dtype=torch.float64)
    hessian = Hessian(lambda p: (3 * p["w"] ** 2 / 2 + (p["w"] - 1).abs()).sum(), {"w": start})
    found = learning_rate(hessian)
    assert found.maximal.value == pytest.approx(2 / 3, rel=1e-6)
    assert found.roughness > 0.1
    assert found.confirmed is None
    assert "too rough" in str(found)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((Matrix(torch.eye(2)),), TypeError, "give \\(model, loss, data\\)"),
        ((nn.Linear(1, 1),), TypeError, "give \\(model, loss, data\\)"),
        ((quadratic(), F.mse_loss, 1), TypeError, "has its loss and data"),
    ],
)
def test_what_is_no_place_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        learning_rate(*arguments)


def test_too_few_steps_are_refused():
    with pytest.raises(ValueError, match="at least 6"):
        learning_rate(quadratic(), steps=2)
