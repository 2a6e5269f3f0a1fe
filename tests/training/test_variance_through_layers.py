"""Fifty layers: signals and gradients against mean-field theory; the wrong kinds lose them.

With independent weights of variance s^2 / width and no bias, the second moment q of the weighted
sums of a wide network, and that of the loss's derivatives by them, d, go from layer to layer as

    q' = s^2 E[phi(sqrt(q) z)^2],    d = d' s^2 E[phi'(sqrt(q) z)^2],    z ~ N(0, 1)

(B. Poole et al., *Exponential expressivity in deep neural networks through transient chaos*,
NeurIPS 2016, equation 3; S. Schoenholz et al., *Deep information propagation*, ICLR 2017, equation
7). The expectations are sums by the trapezoidal rule, and s^2 is from the papers.

At finite width the logarithm of either moment fluctuates from net to net, with a variance of about
5 / width for each layer (B. Hanin & M. Nica, *Products of many large random matrices and gradients
in deep neural networks*, 2020, for rectifiers, which fluctuate most). Hence the tolerance.
"""

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from thalweg.training.initialization import LSUV, Fixup, initialize

DEPTH, WIDTH, SAMPLES, NETS = 50, 256, 8, 3
TOLERANCE = 3 * (5 * DEPTH / WIDTH / NETS) ** 0.5  # three deviations of a mean of logarithms
ALPHA, LAMBDA = 1.6732632423543772, 1.0507009873554805
# Functions and derivatives, written again.
PHI = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "selu": (
        lambda z: LAMBDA * np.where(z > 0, z, ALPHA * np.expm1(np.minimum(z, 0))),
        lambda z: LAMBDA * np.where(z > 0, 1, ALPHA * np.exp(np.minimum(z, 0))),
    ),
}
Z = np.linspace(-9, 9, 18_001)
DENSITY = np.exp(-(Z**2) / 2) / (2 * np.pi) ** 0.5
MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "selu": nn.SELU}


def second_moment(f, q):
    return float((f(q**0.5 * Z) ** 2 * DENSITY).sum() * (Z[1] - Z[0]))


def mean_field(name, s2):
    """q of the sums of each layer, from inputs of second moment 1; d by the first, the last's 1."""
    phi, slope = PHI[name]
    q = [s2]
    for _ in range(DEPTH - 1):
        q.append(s2 * second_moment(phi, q[-1]))
    chi = [s2 * second_moment(slope, one) for one in q[:-1]]
    return q, float(np.prod(chi))


class Probe(nn.Module):
    """Keeps what passes through it, and its gradient."""

    def forward(self, x):
        if x.requires_grad:
            x.retain_grad()
        self.seen = x
        return x


def deep_net(name):
    layers = [(nn.Linear(WIDTH, WIDTH), Probe(), MODULES[name]()) for _ in range(DEPTH)]
    return nn.Sequential(*itertools.chain(*layers)).double()


def measured(name, kind, **options):
    """Geometric means over nets: q of each layer, and d of the first over that of the last."""
    q, ratio = [], []
    for seed in range(NETS):
        random = torch.Generator().manual_seed(seed)
        x = torch.randn(SAMPLES, WIDTH, generator=random, dtype=torch.float64)
        net = deep_net(name)
        initialize(net, LSUV(x) if kind == "lsuv" else kind, generator=random, **options)
        net(x)
        probes = [one for one in net if isinstance(one, Probe)]
        back = torch.randn(SAMPLES, WIDTH, generator=random, dtype=torch.float64)
        probes[-1].seen.backward(back)
        q.append([one.seen.detach().square().mean().item() for one in probes])
        ratio.append((probes[0].seen.grad.square().mean() / back.square().mean()).item())
    return np.exp(np.mean(np.log(q), 0)), np.exp(np.mean(np.log(ratio)))


# Nonlinearity, kind, options, s^2 by the paper.
TANH = 1 / second_moment(np.tanh, 1.0)
CASES = [
    ("relu", "he", {}, 2.0),
    ("relu", "orthogonal", {"nonlinearity": "relu"}, 2.0),
    ("selu", "lecun", {}, 1.0),
    ("tanh", "glorot", {}, 1.0),
    ("tanh", "orthogonal", {}, 1.0),
    ("tanh", "he", {"nonlinearity": "tanh"}, TANH),
    ("relu", "lecun", {}, 1.0),
    ("relu", "glorot", {}, 1.0),
    ("selu", "he", {}, 2.0),
]


@cache
def outcome(at):
    name, kind, options, _ = CASES[at]
    return measured(name, kind, **options)


@pytest.mark.parametrize("at", range(len(CASES)), ids=lambda at: "-".join(CASES[at][:2]))
def test_fifty_layers_do_what_mean_field_theory_says(at):
    name, _, _, s2 = CASES[at]
    q, ratio = outcome(at)
    expected, factor = mean_field(name, s2)
    assert np.abs(np.log(q / np.array(expected))).max() < TOLERANCE
    assert abs(np.log(ratio / factor)) < TOLERANCE


@pytest.mark.parametrize("at", range(2), ids=lambda at: "-".join(CASES[at][:2]))
def test_rectifiers_keep_signals_and_gradients(at):
    q, ratio = outcome(at)
    assert abs(np.log(q[-1] / q[0])) < TOLERANCE
    assert abs(np.log(ratio)) < TOLERANCE


def test_selu_keeps_signals_and_nearly_gradients():
    q, ratio = outcome(2)
    assert abs(np.log(q[-1] / q[0])) < TOLERANCE
    assert 1 < ratio < 1.0716**DEPTH * np.exp(TOLERANCE)  # E[phi'^2] at the fixed point


@pytest.mark.parametrize("at", [3, 4], ids=["glorot", "orthogonal"])
def test_tanh_loses_signals_and_gradients_by_a_power_of_depth_only(at):
    # q' = q - 2 q^2 + ..., so that q falls to about 1 / (2 depth), and d with it.
    q, ratio = outcome(at)
    assert 0.3 < q[-1] * 2 * DEPTH < 3
    assert 0.3 < ratio * DEPTH < 3


@pytest.mark.parametrize("at, far", [(6, 1e-12), (7, 1e-12), (8, 1e-2)], ids=["a", "b", "c"])
def test_the_wrong_kind_keeps_neither(at, far):
    q, ratio = outcome(at)
    lost = min(q[-1] / q[0], q[0] / q[-1])
    assert lost < far
    assert min(ratio, 1 / ratio) < far


def test_lsuv_keeps_signals_exactly():
    q, ratio = measured("tanh", "lsuv")
    assert abs(q - 1).max() < 0.05  # variance 1, and a mean that is not quite zero
    assert np.log(ratio) < TOLERANCE + np.log(mean_field("tanh", TANH)[1])


# Residual nets.


class Residual(nn.Module):
    def __init__(self, depth, width=48):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.head = nn.Linear(width, 3)

    def trunk(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return x

    def forward(self, x):
        return self.head(self.trunk(x))


def residual(depth, fixup):
    random = torch.Generator().manual_seed(0)
    net = Residual(depth).double()
    kind = Fixup(net.branches, net.head) if fixup else "he"
    x = torch.randn(64, 48, generator=random, dtype=torch.float64)
    return initialize(net, kind, generator=random), x


def moved(depth, steps=10, rate=0.05):
    """How far a few steps of gradient descent move the outputs, from where they begin."""
    net, x = residual(depth, fixup=True)
    targets = torch.arange(64) % 3
    begin = net(x).detach()
    for _ in range(steps):
        net.zero_grad()
        loss = nn.functional.cross_entropy(net(x), targets)
        loss.backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.sub_(rate * parameter.grad)
    return (net(x).detach() - begin).square().mean().sqrt().item()


def test_he_doubles_the_signal_with_every_block_where_fixup_keeps_it():
    net, x = residual(20, fixup=False)
    growth = np.log2(net.trunk(x).square().mean().item())
    assert growth == pytest.approx(20, abs=3)
    net, x = residual(20, fixup=True)
    assert torch.equal(net.trunk(x), x)


def test_fixup_moves_nets_of_every_depth_alike():
    short, deep = moved(4), moved(64)
    assert short > 0
    assert deep / short == pytest.approx(1, rel=0.5)
