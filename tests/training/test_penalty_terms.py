"""Penalties and decay: L1, L2, which weights, and when L2 is weight decay and when it is not."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.optim import SGD, Adam
from thalweg.training import fit
from thalweg.training.regularization import (
    MaxNorm,
    Penalty,
    SoftThreshold,
    WeightDecay,
    decay_groups,
    l1_penalty,
    l2_penalty,
    weights,
)

DOUBLE = torch.float64


class Spelled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.LayerNorm([3, 4, 4])  # its scale has three dimensions
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.tied = self.conv
        self.slope = nn.PReLU(3)


def regression(seed=0, n=40, d=6):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=DOUBLE)
    y = x[:, :2].sum(1) + 0.1 * torch.randn(n, generator=generator, dtype=DOUBLE)
    return x, y


def linear(d=6, value=0.3):
    model = nn.Linear(d, 1, dtype=DOUBLE)
    with torch.no_grad():
        model.weight.copy_(value * torch.linspace(-1, 1.5, d, dtype=DOUBLE))
        model.bias.fill_(0.7)
    return model


def trained(model, optimizer, steps, penalty=None, scale=1.0):
    x, y = regression()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = scale * (model(x).squeeze(1) - y).square().mean() / 2
        (loss if penalty is None else loss + penalty(model)).backward()
        optimizer.step()
    return model.weight.detach().clone()


# Which parameters, and what they cost.


def test_weights_are_neither_biases_nor_normalizations():
    model = Spelled()
    names = {id(p): name for name, p in model.named_parameters()}
    assert [names[id(w)] for w in weights(model)] == [
        "conv.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
    ]


def test_a_shared_weight_counts_once():
    words, scores = nn.Embedding(5, 3), nn.Linear(3, 5)
    scores.weight = words.weight
    model = nn.Sequential(words, scores)
    assert weights(model) == [words.weight]
    assert_close(l1_penalty(2.0)(model), 2 * words.weight.abs().sum())


def test_groups_hold_every_parameter_once_and_decay_weights_alone():
    model = Spelled()
    decaying, others = decay_groups(model, 0.1)
    assert [group["weight_decay"] for group in (decaying, others)] == [0.1, 0.0]
    assert set(decaying["params"]) == set(weights(model))
    assert {*decaying["params"], *others["params"]} == set(model.parameters())
    assert len(decaying["params"]) + len(others["params"]) == len(list(model.parameters()))
    torch.optim.AdamW(decay_groups(model, 0.1))


def test_penalties_add_up():
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -4.0]]))
        model.bias.fill_(100.0)
    assert l1_penalty(0.5)(model).item() == 3.5
    assert l2_penalty(0.5)(model).item() == 6.25
    both = l1_penalty(0.5) + 2.0 * l2_penalty(0.5) + Penalty(lambda m: m.bias.sum())
    assert both(model).item() == 3.5 + 12.5 + 100
    assert l1_penalty(1.0, of=lambda m: m.parameters())(model).item() == 107
    assert sum([l1_penalty(0.5), l2_penalty(0.5) * 2])(model).item() == 3.5 + 12.5
    both(model).backward()
    assert_close(model.weight.grad, torch.tensor([[0.5 + 3.0, -0.5 - 4.0]]))


def test_the_subgradient_of_l1_is_zero_at_zero():
    w = torch.zeros(2, 2, requires_grad=True)
    l1_penalty(1.0, of=lambda _: [w])(nn.Identity()).backward()
    assert w.grad.count_nonzero() == 0


# What a penalty does to weights that can be exchanged: Harakeh, "Model identifiability problem".


def rescaled(layers, unit, factor):
    """Incoming weights and bias of a rectifier by a factor, its outgoing ones by the inverse."""
    with torch.no_grad():
        layers[0].weight[unit] *= factor
        layers[0].bias[unit] *= factor
        layers[2].weight[:, unit] /= factor
    return layers


def test_rectifiers_that_are_rescaled_compute_the_same_at_another_penalty():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    x, penalty = torch.randn(9, 3, dtype=DOUBLE), l2_penalty(1.0)
    outputs, before = model(x), penalty(model).item()
    rescaled(model, 2, 3.0)
    assert_close(model(x), outputs)
    assert penalty(model).item() != pytest.approx(before, rel=0.1)
    # Along the hyperbola |factor * a|^2 + |b / factor|^2 is least where both are as long.
    a, b = model[0].weight[2].norm(), model[2].weight[:, 2].norm()
    balanced = penalty(rescaled(model, 2, (b / a).sqrt())).item()
    for factor in (0.9, 1.1):
        assert penalty(rescaled(copy.deepcopy(model), 2, factor)).item() > balanced


def test_of_a_hyperbola_of_minimizers_a_penalty_leaves_two():
    # d/dw of (1 - u v)^2 + strength / 2 (u^2 + v^2) is zero at u = v, u^2 = 1 - strength / 2.
    found = []
    for strength in (0.0, 0.1):
        u, v = torch.tensor([[3.0]]).double(), torch.tensor([[0.2]]).double()
        w = [nn.Parameter(u), nn.Parameter(v)]
        penalty, optimizer = l2_penalty(strength, of=lambda _, w=w: w), torch.optim.SGD(w, lr=0.05)
        for _ in range(2000):
            optimizer.zero_grad()
            ((1 - w[0] * w[1]).square().sum() + penalty(nn.Identity())).backward()
            optimizer.step()
        found.append([one.item() for one in w])
    (u, v), ends = found
    assert u * v == pytest.approx(1)
    assert u > 5 * v, "on the hyperbola, near where it began"
    assert ends == pytest.approx([(1 - 0.1 / 2) ** 0.5] * 2)


# Weight decay and L2.

DESCENT = {
    "torch, plain": (torch.optim.SGD, {}),
    "torch, momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "torch, nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "ours, plain": (SGD, {}),
    "ours, momentum": (SGD, {"momentum": 0.9}),
    "torch, adam": (torch.optim.Adam, {}),
    "ours, adam": (Adam, {}),
}


@pytest.mark.parametrize("make, settings", DESCENT.values(), ids=DESCENT)
def test_the_coupled_decay_of_an_optimizer_is_the_penalty(make, settings):
    one, other = linear(), linear()
    coupled = make([one.weight], lr=0.05, weight_decay=0.2, **settings)
    penalized = make([other.weight], lr=0.05, **settings)
    expected = trained(other, penalized, 30, l2_penalty(0.2))
    assert_close(trained(one, coupled, 30), expected, rtol=1e-10, atol=1e-12)


def shrink(w, factor):
    with torch.no_grad():
        w.mul_(factor)


def decayed_and_penalized(make, lr=0.05, strength=0.2, steps=30, scale=1.0, **settings):
    """After decoupled decay by 1 - lr strength a step, and after the penalty of that strength."""
    one, other = linear(), linear()
    plain = make([one.weight], lr=lr, **settings)
    # The decay comes first, then the step: AdamW's order, and plain descent's on the penalty.
    plain.register_step_pre_hook(lambda *_: shrink(one.weight, 1 - lr * strength))
    penalized = make([other.weight], lr=lr, **settings)
    return (
        trained(one, plain, steps, scale=scale),
        trained(other, penalized, steps, l2_penalty(strength), scale=scale),
    )


def test_fit_minimizes_the_regularized_risk():
    x, y = regression()
    model = nn.Linear(6, 1, bias=False, dtype=DOUBLE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    half_square = lambda outputs, targets: (outputs.squeeze(1) - targets).square().mean() / 2
    fit(
        model,
        half_square,
        (x, y),
        None,
        optimizer,
        epochs=300,
        batch_size="all",
        penalty=l2_penalty(0.2),
    )
    h = x.T @ x / len(x) + 0.2 * torch.eye(6, dtype=DOUBLE)
    ridge = torch.linalg.solve(h, x.T @ y / len(x))
    assert_close(model.weight.detach().squeeze(0), ridge, rtol=1e-8, atol=1e-10)


def test_decay_is_the_penalty_under_plain_descent():
    decayed, penalized = decayed_and_penalized(torch.optim.SGD)
    assert_close(decayed, penalized, rtol=1e-12, atol=1e-14)


def test_with_momentum_decay_is_not_the_penalty_on_the_way_but_at_the_end():
    on_the_way = decayed_and_penalized(torch.optim.SGD, lr=0.02, momentum=0.9)
    assert (on_the_way[0] - on_the_way[1]).abs().max() > 1e-2
    x, y = regression()
    h, b, n = x.T @ x / len(x), (y - 0.7) @ x / len(x), x.shape[1]
    # There the decay lr strength w meets the step lr g / (1 - momentum): a smaller penalty.
    at_the_end = decayed_and_penalized(torch.optim.SGD, lr=0.02, steps=3000, momentum=0.9)
    for found, strength in zip(at_the_end, (0.2 * (1 - 0.9), 0.2), strict=True):
        expected = torch.linalg.solve(h + strength * torch.eye(n, dtype=DOUBLE), b)
        assert_close(found.squeeze(0), expected, rtol=1e-8, atol=1e-10)


def test_under_adam_decay_is_not_the_penalty():
    decayed, penalized = decayed_and_penalized(torch.optim.Adam)
    assert (decayed - penalized).abs().max() > 1e-2
    one = linear()
    adamw = torch.optim.AdamW([one.weight], lr=0.05, weight_decay=0.2)
    assert_close(trained(one, adamw, 30), decayed, rtol=1e-10, atol=1e-12)


def test_adam_shrinks_what_has_large_gradients_less_by_the_penalty_and_alike_by_decay():
    # The gradients average out, so that only the penalty moves the mean: Loshchilov & Hutter's
    # proposition 2, where the coupled decay is divided by the root of the second moment.
    sizes = torch.tensor([[1.0, 100.0]], dtype=DOUBLE)
    left = {}
    for make in (torch.optim.Adam, torch.optim.AdamW):
        w = torch.ones(1, 2, dtype=DOUBLE, requires_grad=True)
        optimizer = make([w], lr=1e-3, weight_decay=0.1)
        for step in range(400):
            w.grad = sizes * (-1) ** step
            optimizer.step()
        left[make] = (1 - w.detach()).squeeze(0)
    small, large = left[torch.optim.Adam].tolist()
    assert small > 10 * large
    small, large = left[torch.optim.AdamW].tolist()
    assert small == pytest.approx(large, rel=1e-2)


def test_the_courses_decay_leads_to_l2():
    keep, lr, steps = 0.97, 0.1, 25
    one, other = linear(), linear()
    optimizer = torch.optim.SGD([one.weight], lr=lr)
    WeightDecay(optimizer, [one.weight], keep)
    strength = (1 - keep) / (keep * lr)
    plain = torch.optim.SGD([other.weight], lr=keep * lr)
    expected = trained(other, plain, steps, l2_penalty(strength))
    assert_close(trained(one, optimizer, steps), expected, rtol=1e-12, atol=1e-14)


# What is done after each step.


def lasso(x, y, strength):
    """The minimizer of |y - X w|^2 / (2 n) + strength |w|_1, by coordinate descent."""
    from sklearn.linear_model import Lasso

    fitted = Lasso(alpha=strength, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x, y)
    return torch.tensor(fitted.coef_)


def test_soft_thresholding_finds_the_lasso_with_its_exact_zeros():
    x, y = regression()
    expected = lasso(x.numpy(), (y - 0.7).numpy(), 0.15)
    zeros = expected == 0
    assert 0 < zeros.sum() < len(expected)
    model = linear()
    optimizer = torch.optim.SGD([model.weight], lr=0.3)
    SoftThreshold(optimizer, model, 0.15)
    found = trained(model, optimizer, 500).squeeze(0)
    assert_close(found, expected, rtol=1e-8, atol=1e-10)
    assert torch.equal(found == 0, zeros)
    other = linear()
    by_subgradient = trained(other, torch.optim.SGD([other.weight], lr=0.3), 500, l1_penalty(0.15))
    assert (by_subgradient == 0).sum() == 0, "the subgradient jumps across zero"


UNITS = {  # where a layer's units lie: for each, its incoming weights
    "linear": (nn.Linear(5, 4), lambda w: [w[i] for i in range(4)]),
    "conv": (nn.Conv2d(4, 6, 3, groups=2), lambda w: [w[i] for i in range(6)]),
    "transposed": (nn.ConvTranspose1d(4, 3, 2), lambda w: [w[:, i] for i in range(3)]),
    "transposed, grouped": (
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        lambda w: [w[2 * g : 2 * g + 2, i] for g in range(2) for i in range(3)],
    ),
    "recurrent": (nn.GRU(3, 2), lambda w: [w[i] for i in range(6)]),
    "embedding": (nn.Embedding(4, 3), lambda w: [w[i] for i in range(4)]),
}


@pytest.mark.parametrize("layer, units", UNITS.values(), ids=UNITS)
def test_no_unit_leaves_its_ball_and_short_ones_stay(layer, units):
    layer = copy.deepcopy(layer).double()
    torch.manual_seed(0)
    for p in layer.parameters():
        p.data.normal_()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    before = {id(w): w.detach().clone() for w in weights(layer)}
    lengths = [u.norm().item() for w in before.values() for u in units(w)]
    bound = sorted(lengths)[len(lengths) // 2]
    MaxNorm(optimizer, layer, bound)
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    biases = {n: p.detach().clone() for n, p in layer.named_parameters() if "bias" in n}
    optimizer.step()
    for w in weights(layer):
        for now, was in zip(units(w.detach()), units(before[id(w)]), strict=True):
            assert_close(now, was * min(1.0, bound / was.norm().item()), rtol=1e-12, atol=1e-14)
    assert all(torch.equal(p, biases[n]) for n, p in layer.named_parameters() if n in biases)


def test_max_norm_is_what_the_wrapper_of_rules_does():
    from thalweg.optim import RULES, bound_units, optimizer_class

    bounded = optimizer_class("Bounded", bound_units(RULES["adam"]))
    one, other = linear(value=3.0), linear(value=3.0)
    hooked = torch.optim.Adam([one.weight], lr=0.1)
    MaxNorm(hooked, one, 1.0)
    wrapped = bounded([other.weight], lr=0.1, max_unit_norm=1.0)
    assert_close(trained(one, hooked, 20), trained(other, wrapped, 20))


@pytest.mark.parametrize(
    "follow",
    [
        lambda o, m: WeightDecay(o, m, 0.5),
        lambda o, m: SoftThreshold(o, m, 0.5),
        lambda o, m: MaxNorm(o, m, 0.01),
    ],
    ids=["decay", "threshold", "max-norm"],
)
class TestEveryoneThatActsAfterAStep:
    def test_leaves_frozen_weights_alone(self, follow):
        model = linear()
        model.weight.requires_grad_(False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        before = model.weight.clone()
        follow(optimizer, model)
        trained(model, optimizer, 2)
        assert torch.equal(model.weight, before)

    def test_stops_when_it_is_detached(self, follow):
        one, other = linear(), linear()
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        follow(optimizer, one).detach()
        plain = trained(other, torch.optim.SGD(other.parameters(), lr=0.1), 3)
        assert torch.equal(trained(one, optimizer, 3), plain)

    def test_takes_the_optimizers_own_weights_alone(self, follow):
        with pytest.raises(ValueError, match="1 of 1 weights are not the optimizer's"):
            follow(torch.optim.SGD(linear().parameters(), lr=0.1), linear())


def test_the_threshold_follows_the_learning_rate_of_each_group():
    a, b = (torch.ones(1, 1, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.2}])
    SoftThreshold(optimizer, [a, b], 1.0)
    a.grad = b.grad = torch.zeros(1, 1)
    optimizer.step()
    optimizer.param_groups[1]["lr"] = 0.5
    optimizer.step()
    assert [a.item(), b.item()] == pytest.approx([0.8, 0.3])


REFUSED = {
    "a negative strength": lambda o, m: l1_penalty(-1.0),
    "a negative l2": lambda o, m: l2_penalty(-1.0),
    "a negative decay": lambda o, m: decay_groups(m, -0.1),
    "growth": lambda o, m: WeightDecay(o, m, 1.1),
    "a negative threshold": lambda o, m: SoftThreshold(o, m, -0.1),
    "no room": lambda o, m: MaxNorm(o, m, 0.0),
    "no weights": lambda o, m: weights(nn.LayerNorm(3)),
    "no term": lambda o, m: Penalty(),
    "nothing penalized": lambda o, m: l1_penalty(1.0, of=lambda m: [])(m),
}


def test_a_number_is_no_penalty():
    with pytest.raises(TypeError):
        1.0 + l1_penalty(1.0)


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(refused):
    model = linear()
    with pytest.raises(ValueError):
        refused(torch.optim.SGD(model.parameters(), lr=0.1), model)
