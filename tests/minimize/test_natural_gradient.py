"""The natural gradient: Fishers summed by hand, other parametrizations, Kronecker factors."""

import math

import pytest
import torch
from second_order_places import At, descend, turned, vector
from torch.distributions import Bernoulli
from torch.nn import functional as F

from thalweg.minimize.directions.kronecker_natural_gradient import KroneckerNaturalGradient
from thalweg.minimize.directions.natural_gradient import NaturalGradient
from thalweg.minimize.directions.quadratic_model import combined
from thalweg.operators import EigenvalueCorrected, Fisher, Kronecker, Layout, Matrix

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


# Kronecker factors. One linear layer under squared error has a Fisher that they hold exactly.

LAYOUT = Layout.of({"w": torch.zeros(2, 3).double(), "b": torch.zeros(2).double()})


class Linear:
    """A linear layer on its own data, with factors and the exact Fisher."""

    def __init__(self, seed=11):
        self.inputs = vector(60, seed=seed).reshape(20, 3)
        self.targets = vector(40, seed=seed + 1).reshape(20, 2)

    def output(self, params):
        return F.linear(self.inputs, params["w"], params["b"])

    def of_output(self, output):
        return (output - self.targets).square().sum() / 40

    def loss(self, x):
        return self.of_output(self.output(LAYOUT.unflatten(x)))

    def factors(self, x, kind=Kronecker):
        return kind(self.output, self.of_output, LAYOUT.unflatten(x))

    def fisher_by_hand(self):
        rows = torch.cat([self.inputs, torch.ones(20, 1).double()], 1)
        a = rows.T @ rows / 20
        whole = torch.kron(torch.eye(2).double(), a)  # w and b of each output together
        order = [0, 1, 2, 4, 5, 6, 3, 7]
        return whole[order][:, order]

    def at(self, x):
        return At(self.loss, x, fisher=lambda _: Matrix(self.fisher_by_hand(), facts={"psd"}))


def test_the_fisher_by_hand_is_the_loss_s_hessian():
    assert torch.allclose(Linear().fisher_by_hand(), Linear().at(vector(8)).dense())


@pytest.mark.parametrize("kind", [Kronecker, EigenvalueCorrected])
def test_exact_factors_give_the_dense_natural_gradient(kind):
    layer = Linear()
    at = layer.at(vector(8))
    direction = KroneckerNaturalGradient(
        lambda x: layer.factors(x, kind), damping=0.3, split="exact"
    )
    dense = NaturalGradient(damping=0.3)
    got, want = direction.propose(at), dense.propose(at)
    assert direction.damping == pytest.approx(dense.damping)
    assert torch.allclose(got.vector, want.vector, rtol=1e-9)
    assert got.curvature == pytest.approx(want.curvature)
    assert got.slope == pytest.approx(want.slope)


def test_factors_are_averaged_over_the_steps():
    layers = [Linear(seed) for seed in (11, 21, 31)]
    given = iter(layers)
    direction = KroneckerNaturalGradient(
        lambda x: next(given).factors(x), damping=0.3, split="exact", momentum=False, decay=0.6
    )
    at = layers[0].at(vector(8))
    mean = torch.zeros(8, 8).double()
    for layer, decay in zip(layers, (0.0, 0.5, 0.6), strict=True):
        d = direction.propose(at).vector
        mean = decay * mean + (1 - decay) * layer.fisher_by_hand()
        delta = -torch.linalg.solve(mean + direction.damping * torch.eye(8).double(), at.gradient)
        assert torch.allclose(d / d.norm(), delta / delta.norm(), rtol=1e-8)


def test_the_length_and_the_momentum_minimize_the_exact_model():
    layer = Linear()
    start = layer.at(vector(8))
    crude = Linear(seed=41)  # factors of other data: not the Fisher
    direction = KroneckerNaturalGradient(crude.factors, damping=0.3, split="exact", decay=0.0)
    first = direction.propose(start)
    there = start.moved(first.vector)
    direction.moved(start, there)
    second = direction.propose(there)
    f, damping, g = layer.fisher_by_hand(), direction.damping, there.gradient
    damped = f + damping * torch.eye(8).double()
    delta = -torch.linalg.solve(crude.fisher_by_hand() + damping * torch.eye(8).double(), g)
    basis = torch.stack([delta, first.vector], 1)
    weights = torch.linalg.solve(basis.T @ damped @ basis, -basis.T @ g)
    assert torch.allclose(second.vector, basis @ weights, rtol=1e-7)
    assert second.curvature == pytest.approx(float(second.vector @ f @ second.vector))
    alone = KroneckerNaturalGradient(crude.factors, damping=0.3, momentum=False, split="exact")
    alone.propose(start)
    alone.moved(start, there)
    d = alone.propose(there).vector
    assert alone.damping == pytest.approx(damping)
    assert d @ delta / (d.norm() * delta.norm()) == pytest.approx(1, abs=1e-10)


def test_directions_that_say_the_same_are_counted_once():
    a, _ = turned(torch.linspace(1, 4, 5))
    g, u = vector(5), vector(5, seed=5)
    want = -(g @ u) / (u @ a @ u) * u
    for basis in ([u], [u, -2 * u], [torch.zeros(5).double(), u]):
        d, curvature = combined(Matrix(a), g, basis, 0.0)
        assert torch.allclose(d, want)
        assert curvature == pytest.approx(float(want @ a @ want))
    assert not combined(Matrix(a), g, [torch.zeros(5).double()], 0.0)[0].any()


def test_a_deep_net_is_trained_by_factors():
    layout = Layout.of({"a": torch.zeros(6, 2), "b": torch.zeros(6), "c": torch.zeros(1, 6)})
    layout = Layout(layout.names, layout.shapes, (torch.float64,) * 3, layout.devices)
    loss = lambda z: F.binary_cross_entropy_with_logits(z[:, 0], LABELS)
    output = lambda p: F.linear(torch.tanh(F.linear(INPUTS, p["a"], p["b"])), p["c"])

    def fisher(x):
        of = lambda z: Bernoulli(logits=z[:, 0])
        return Fisher(output, loss, of, layout.unflatten(x))

    def factors(x):
        return Kronecker(output, loss, layout.unflatten(x))

    start = At(lambda x: loss(output(layout.unflatten(x))), vector(24), fisher=fisher)
    path = descend(KroneckerNaturalGradient(factors), start, 20)
    assert path[-1].value < by_gradient_descent(start, 200)


def test_the_factors_average_goes_on_exactly():
    layer, other = Linear(), Linear(seed=21)
    at = layer.at(vector(8))
    first = KroneckerNaturalGradient(layer.factors)
    middle = descend(first, at, 3)[-1]
    saved = first.state_dict()
    second = KroneckerNaturalGradient(other.factors)
    second.load_state_dict(saved)
    first.factors = other.factors
    kept = saved["factors"].to_dense()
    assert torch.equal(first.propose(middle).vector, second.propose(middle).vector)
    assert torch.equal(saved["factors"].to_dense(), kept)
    fresh = KroneckerNaturalGradient(other.factors)
    fresh.load_state_dict({**saved, "factors": None})
    assert not torch.equal(first.propose(middle).vector, fresh.propose(middle).vector)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: NaturalGradient(damping=-1.0), r"NaturalGradient\(damping=-1.0\)"),
        (lambda: NaturalGradient(step=math.inf), r"NaturalGradient\(step=inf\)"),
        (lambda: KroneckerNaturalGradient(None, decay=2.0), r"\(decay=2.0\)"),
        (lambda: KroneckerNaturalGradient(None, damping=0.0), r"\(damping=0.0\)"),
        (lambda: KroneckerNaturalGradient(None, split="half"), "choose one of exact, factored"),
    ],
)
def test_settings_of_natural_gradients_are_checked(make, says):
    with pytest.raises(ValueError, match=says):
        make()
