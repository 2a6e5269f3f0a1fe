"""The natural gradient: Fishers summed by hand, other parametrizations."""

import math

import pytest
import torch
from second_order_places import At, descend, turned, vector
from torch.distributions import Bernoulli
from torch.nn import functional as F

from thalweg.minimize.directions.natural_gradient import NaturalGradient
from thalweg.operators import Fisher, Matrix

INPUTS = vector(60, seed=7).reshape(30, 2)
LABELS = (INPUTS[:, 0] * INPUTS[:, 1] > 0).double()
W = 0.7 * vector(9, seed=8)


def logits(w):
    """A net of two inputs, two hidden units and one logit."""
    hidden = torch.tanh(INPUTS @ w[:4].view(2, 2) + w[4:6])
    return hidden @ w[6:8] + w[8]


def place(parameters=lambda u: u, u=W, unit=1.0):
    """The net at w = parameters(u), with its Fisher."""
    loss = lambda z: unit * F.binary_cross_entropy_with_logits(z, LABELS)

    def fisher(u):
        exact = Fisher(
            lambda p: logits(parameters(p["u"])),
            loss,
            lambda z: Bernoulli(logits=z),
            {"u": u},
            reduction="mean",
        )
        return Matrix(unit * exact.to_dense(), facts={"psd"})

    return At(lambda u: loss(logits(parameters(u))), u, fisher=fisher)


def fisher_by_hand(w):
    """E[g g'] over both labels of every input."""
    total = torch.zeros(len(w), len(w)).double()
    for i in range(len(INPUTS)):
        for label in (0.0, 1.0):
            v = w.clone().requires_grad_()
            z = logits(v)[i]
            chance = torch.sigmoid(z if label else -z).detach()
            (g,) = torch.autograd.grad(-F.logsigmoid(z if label else -z), v)
            total += chance * torch.outer(g, g) / len(INPUTS)
    return total


@pytest.mark.parametrize("largest", [500, 1], ids=["dense", "by products"])
def test_the_step_solves_with_the_fisher(largest):
    at = place()
    direction = NaturalGradient(damping=0.01, largest=largest, tol=1e-12)
    proposal = direction.propose(at)
    f, g = fisher_by_hand(W), at.gradient
    damping = 0.01 * float(g @ f @ g / (g @ g))
    assert direction.damping == pytest.approx(damping)
    want = -torch.linalg.solve(f + damping * torch.eye(9).double(), g)
    assert torch.allclose(proposal.vector, want, rtol=1e-6)
    assert proposal.curvature == pytest.approx(float(want @ f @ want))


MIX = turned(torch.linspace(0.5, 3, 9))[0] + 0.1 * vector(81, seed=9).reshape(9, 9)
PARAMETRIZATIONS = {
    "mixed": (lambda u: MIX @ u, torch.linalg.solve(MIX, W)),
    "bent": (torch.sinh, torch.asinh(W)),
    "in other units": (lambda u: u * 10.0 ** torch.arange(-4, 5), W / 10.0 ** torch.arange(-4, 5)),
}


@pytest.mark.parametrize("parameters, u", PARAMETRIZATIONS.values(), ids=PARAMETRIZATIONS)
def test_it_is_the_same_step_in_other_parameters(parameters, u):
    direct = NaturalGradient(damping=0.0).propose(place()).vector
    other = NaturalGradient(damping=0.0).propose(place(parameters, u)).vector
    jacobian = torch.autograd.functional.jacobian(parameters, u)
    assert torch.allclose(jacobian @ other, direct, rtol=1e-5)
    damped = NaturalGradient(damping=1.0).propose(place(parameters, u)).vector
    assert not torch.allclose(
        jacobian @ damped, NaturalGradient(damping=1.0).propose(place()).vector
    )


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_the_unit_of_the_loss_does_not_matter_to_it(unit):
    steps = [NaturalGradient().propose(place(unit=c)).vector for c in (1.0, unit)]
    assert torch.allclose(*steps, rtol=1e-6)


def test_no_damping_stays_none():
    direction = NaturalGradient(damping=0.0, step=0.5)
    at = place()
    proposal = direction.propose(at)
    assert proposal.length == 0.5
    direction.moved(at, at.moved(-proposal.vector))  # uphill
    assert direction.damping == 0


def test_its_damping_follows_the_ratio():
    direction, at = NaturalGradient(damping=0.1), place()
    d = direction.propose(at).vector
    before = direction.damping
    direction.moved(at, at.moved(-d))
    assert direction.damping == pytest.approx(1.5 * before)
    other = NaturalGradient(damping=0.1)
    other.load_state_dict(direction.state_dict())
    assert torch.equal(other.propose(at).vector, direction.propose(at).vector)


@pytest.mark.parametrize("seed", [8, 9, 10])
def test_a_net_is_trained_by_natural_gradient(seed):
    path = descend(NaturalGradient(), place(u=0.7 * vector(9, seed=seed)), 30)
    assert path[-1].value < by_gradient_descent(path[0], 300)


def by_gradient_descent(at, steps):
    """The loss after plain steps of rate 1."""
    x = at.x.clone().requires_grad_()
    plain = torch.optim.SGD([x], lr=1.0)
    for _ in range(steps):
        plain.zero_grad()
        at.loss(x).backward()
        plain.step()
    return at.loss(x).item()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: NaturalGradient(damping=-1.0), r"NaturalGradient\(damping=-1.0\)"),
        (lambda: NaturalGradient(step=math.inf), r"NaturalGradient\(step=inf\)"),
    ],
)
def test_settings_of_natural_gradients_are_checked(make, says):
    with pytest.raises(ValueError, match=says):
        make()
