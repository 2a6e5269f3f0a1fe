"""The critical scale against quadratics where it is known, a fine scan, and the hard shapes."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.curvature import CriticalRate, Hessian, critical_rate, model_loss


def parabola(critical, depth=1.0, floor=3.0):
    """Falls from s = 0 and is back at its first value at s = critical."""
    return lambda s: floor + depth * (s / critical) * (s / critical - 1)


@pytest.mark.parametrize("critical", [0.0031, 0.1, 0.49, 0.5, 0.77, 1.0, 1.3, 2.0, 7.5, 900.0])
@pytest.mark.parametrize("bisections", [0, 3, 6])
def test_brackets_the_crossing_of_a_parabola(critical, bisections):
    rate = critical_rate(parabola(critical), bisections=bisections)
    assert rate.censored is None
    assert rate.lower <= critical <= rate.upper
    assert rate.upper / rate.lower <= 2 ** (1 / 2**bisections) * (1 + 1e-12)
    assert rate.lower < rate.scale < rate.upper


def test_counts_its_evaluations_and_needs_a_handful():
    calls = []
    rate = critical_rate(lambda s: calls.append(s) or parabola(1.5)(s))
    assert rate.evaluations == len(calls) == 6
    assert critical_rate(parabola(0.2)).evaluations <= 9


def test_says_rate_and_sharpness_in_the_optimizers_units():
    rate = CriticalRate(scale=4.0, lower=3.0, upper=5.0, evaluations=7, censored=None)
    assert rate.learning_rate(0.1) == pytest.approx(0.4)
    assert rate.sharpness(0.1) == pytest.approx(5.0)


CENSORED = {
    "descends for ever": (lambda s: 3.0 - s, "above", math.inf),
    "descends ever slower": (lambda s: math.exp(-s), "above", math.inf),
    "flat": (lambda s: 2.0, "above", math.inf),
    "flat to rounding": (lambda s: 2.0 * (1 + 1e-7 * math.sin(1e3 * s)), "above", math.inf),
    "flat at zero": (lambda s: 0.0, "above", math.inf),
    "ascends": (lambda s: 1.0 + s, "below", 0.0),
    "ascends by less than rounding at first": (lambda s: 1.0 + 2e-6 * s, "below", 0.0),
    "ascends unseen at the step itself": (lambda s: 1.0 + 3e-7 * s, "below", 0.0),
    "not finite anywhere else": (lambda s: math.nan if s else 1.0, "below", 0.0),
    "critical below the range": (parabola(1e-5), "below", 0.0),
    "critical above the range": (parabola(1e5), "above", math.inf),
}


@pytest.mark.parametrize(("loss", "censored", "scale"), CENSORED.values(), ids=CENSORED)
def test_says_when_there_is_no_crossing_to_find(loss, censored, scale):
    rate = critical_rate(loss)
    assert (rate.censored, rate.scale) == (censored, scale)
    assert rate.lower < rate.upper
    assert math.isinf(rate.upper) == (censored == "above")


def test_a_flat_loss_differs_from_one_that_descends_by_its_lower_end():
    assert critical_rate(lambda s: 2.0).lower == 0
    assert critical_rate(lambda s: 2.0 - s).lower == 2**10


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_exceeds(value):
    rate = critical_rate(lambda s: 1 - 0.1 * s if s < 6.2 else value, bisections=8)
    assert rate.lower < 6.2 <= rate.upper
    assert rate.scale == pytest.approx(6.2, rel=2e-3)


def test_the_losses_own_precision_decides_what_is_a_difference():
    shallow = parabola(0.3, depth=1e-9)
    assert critical_rate(shallow, dtype=torch.float64).scale == pytest.approx(0.3, rel=0.05)
    assert critical_rate(shallow, dtype=torch.float32).censored == "below"


def test_stays_in_range():
    tried = []
    critical_rate(lambda s: tried.append(s) or 1 + s, doublings=4)
    critical_rate(lambda s: tried.append(s) or 1 - s, doublings=4)
    assert sorted(set(tried)) == [0] + [2.0**i for i in range(-4, 5)]


REFUSALS = {
    "nan before": (lambda: critical_rate(lambda s: math.nan), "before the step is nan"),
    "doublings": (lambda: critical_rate(lambda s: s, doublings=0), "doublings=0"),
    "bisections": (lambda: critical_rate(lambda s: s, bisections=-1), "bisections=-1"),
    "dtype": (lambda: critical_rate(lambda s: s, dtype=torch.int64), "torch.int64"),
}


@pytest.mark.parametrize(("call", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, says):
    with pytest.raises(ValueError, match=says):
        call()


OPTIMIZERS = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.05),
    "momentum": lambda ps: torch.optim.SGD(ps, lr=0.02, momentum=0.9),
    "adam": lambda ps: torch.optim.Adam(ps, lr=0.01),
}


def step_of_a_network(make):
    """The loss, the parameters before a real step, and that step."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = torch.randn(32, 4, dtype=torch.float64)
    data = (x, x[:, :1] * x[:, 1:2])
    optimizer = make(model.parameters())
    for _ in range(5):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer.zero_grad()
        F.mse_loss(model(data[0]), data[1]).backward()
        optimizer.step()
    step = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    loss = model_loss(model, F.mse_loss, data)
    return loss, before, step


def along(loss, before, step):
    return lambda s: float(loss({name: w + s * step[name] for name, w in before.items()}))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_a_fine_scan_on_a_real_step(name):
    loss_along = along(*step_of_a_network(OPTIMIZERS[name]))
    rate = critical_rate(loss_along, bisections=6, dtype=torch.float64)
    scan = torch.logspace(-3, 3, 3001, dtype=torch.float64).tolist()
    first = next(s for s in scan if loss_along(s) > loss_along(0.0))
    assert rate.scale == pytest.approx(first, rel=0.02)


def test_for_small_steps_it_is_twice_slope_over_curvature():
    """2 |g.d| / d.H.d, where the loss is quadratic: a linear model under the squared error."""
    model = nn.Linear(4, 1).double()
    x = torch.randn(32, 4, dtype=torch.float64)
    data = (x, torch.randn(32, 1, dtype=torch.float64))
    loss = model_loss(model, F.mse_loss, data)
    before = {name: p.detach() for name, p in model.named_parameters()}
    h = Hessian(loss, before)
    d = -0.01 * h.gradient
    exact = float(-2 * (h.gradient @ d) / (d @ (h @ d)))
    rate = critical_rate(
        along(loss, before, h.layout.unflatten(d)), bisections=12, dtype=torch.float64
    )
    assert rate.scale == pytest.approx(exact, rel=1e-3)
    assert rate.sharpness(0.01) == pytest.approx(
        float(h.gradient @ (h @ h.gradient)) / float(h.gradient @ h.gradient), rel=1e-3
    )
