"""Hessian-free optimization: CG's trail by hand, looking back, damping, a net that learns."""

import math

import pytest
import torch
from second_order_places import At, descend, turned, vector

from thalweg.minimize import Objective, minimize
from thalweg.minimize.directions.hessian_free import HessianFree, hessian_free_step, lowest
from thalweg.minimize.directions.truncated_cg import Iterate, is_slow, truncated_cg
from thalweg.operators import GaussNewton, Matrix

N = 30
SPREAD = torch.logspace(-3, 1, N, dtype=torch.float64)
MARKS = {1, 2, 3, 4, 5, 7, 9, 11, 14, 18, 24, 31}


def cg_by_hand(a, b, steps, x):
    """Iterates of Hestenes and Stiefel's recursion, the start first."""
    r = b - a @ x
    p, found = r, [x]
    for _ in range(steps):
        alpha = (r @ r) / (p @ a @ p)
        x, s = x + alpha * p, r - alpha * a @ p
        p, r = s + (s @ s) / (r @ r) * p, s
        found.append(x)
    return found


def model_value(a, b, x):
    return float(x @ a @ x / 2 - b @ x)


@pytest.mark.parametrize("start", [None, vector(N, seed=5)], ids=["from zero", "from elsewhere"])
def test_the_trail_is_that_of_conjugate_gradients(start):
    a, _ = turned(torch.linspace(1, 3, N))  # so that rounding leaves the iterates as they are
    b, damping = vector(N), 0.01
    damped = a + damping * torch.eye(N).double()
    trail = truncated_cg(Matrix(a), b, damping=damping, start=start, max_steps=20, progress=1e-20)
    by_hand = cg_by_hand(damped, b, 20, torch.zeros(N).double() if start is None else start)
    assert [each.steps for each in trail] == [*sorted(m for m in MARKS if m < 20), 20]
    for each in trail:
        x = by_hand[each.steps]
        assert torch.allclose(each.x, x, rtol=1e-6)
        assert each.value == pytest.approx(model_value(damped, b, x))
        assert each.curvature == pytest.approx(float(x @ a @ x), rel=1e-6)


def test_it_stops_where_martens_says():
    a, _ = turned(SPREAD)
    b, epsilon = vector(N), 5e-4
    last = truncated_cg(Matrix(a), b, damping=0.01, progress=epsilon)[-1].steps
    damped = a + 0.01 * torch.eye(N).double()
    values = [model_value(damped, b, x) for x in cg_by_hand(damped, b, 60, torch.zeros(N).double())]

    def slow(i):
        k = max(10, math.ceil(0.1 * i))
        return i > k and values[i] < 0 and (values[i] - values[i - k]) / values[i] < k * epsilon

    assert last == next(i for i in range(1, 60) if slow(i))
    assert last > 11


def test_a_long_run_looks_back_a_tenth_of_it():
    values = [-1.0 - 1e-3 * min(i, 190) for i in range(201)]  # the last ten steps gained nothing
    each = 10 * 1e-3 / 1.19 / 20
    assert is_slow(values, 1.01 * each)
    assert not is_slow(values, 0.99 * each)
    assert not is_slow([-x for x in values], 0.5)


def test_cg_ends_before_curvature_that_is_not_positive():
    a = torch.diag(torch.tensor([1.0, -2.0])).double()
    trail = truncated_cg(Matrix(a), torch.tensor([2.0, 0.5]).double(), damping=0.0)
    assert [each.steps for each in trail] == [1]
    assert truncated_cg(Matrix(a), torch.tensor([0.0, 1.0]).double(), damping=0.0) == ()


@pytest.mark.parametrize("start", [None, 10 * vector(N, seed=5)], ids=["cold", "warm"])
def test_the_step_solves_the_damped_equations(start):
    a, _ = turned(SPREAD)
    g = vector(N)
    proposal, end = hessian_free_step(
        Matrix(a), g, damping=0.02, start=start, progress=1e-12, max_steps=200
    )
    want = torch.linalg.solve(a + 0.02 * torch.eye(N).double(), -g)
    assert torch.allclose(proposal.vector, want, rtol=1e-6)
    assert torch.equal(proposal.vector, end)
    assert proposal.slope == pytest.approx(float(g @ want))
    assert proposal.curvature == pytest.approx(float(want @ a @ want))


def test_looking_back_does_not_move_the_next_start():
    a, _ = turned(SPREAD)
    g = vector(N)
    lengths = []
    proposal, end = hessian_free_step(
        Matrix(a), g, damping=0.02, loss_of=lambda d: lengths.append(d) or float(d.norm())
    )
    assert torch.equal(end, lengths[0])  # the last iterate is looked at first
    assert torch.equal(proposal.vector, lengths[-1])
    assert proposal.vector.norm() < end.norm()
    assert proposal.curvature == pytest.approx(float(proposal.vector @ a @ proposal.vector))


def test_a_start_that_leads_up_is_left():
    a, _ = turned(SPREAD)
    g = vector(N)
    warm, _ = hessian_free_step(Matrix(a), g, damping=0.0, start=1e3 * g, max_steps=1)
    cold, _ = hessian_free_step(Matrix(a), g, damping=0.0, max_steps=1)
    assert torch.equal(warm.vector, cold.vector)


def test_without_positive_curvature_the_gradient_is_followed():
    g = vector(3)
    proposal, end = hessian_free_step(Matrix(-torch.eye(3).double()), g, damping=0.0)
    assert torch.equal(proposal.vector, -g)
    assert torch.equal(end, -g)
    assert proposal.curvature == pytest.approx(-float(g @ g))


@pytest.mark.parametrize(
    "losses, want, asked",
    [
        ([1.0, 3.0, 2.0, 4.0], 2, 3),  # not the lowest of all: the first rise ends the search
        ([1.0, 2.0, 3.0, 4.0], 0, 4),
        ([4.0, 3.0, 2.0, 1.0], 3, 2),
        ([5.0, 2.0, math.nan, math.inf], 1, 4),
    ],
)
def test_the_lowest_loss_is_looked_for_from_the_last_one_back(losses, want, asked):
    trail = [Iterate(torch.tensor(float(i)), i + 1, 0.0, 0.0) for i in range(4)]
    seen = []

    def loss_of(x):
        seen.append(int(x))
        return losses[int(x)]

    assert lowest(trail, loss_of) is trail[want]
    assert seen == [3, 2, 1, 0][:asked]


class Net:
    """A small autoencoder, as a loss of one flat vector and as a Gauss-Newton matrix."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        low = torch.randn(40, 2, generator=generator, dtype=torch.float64)
        self.data = torch.tanh(low @ torch.randn(2, 6, generator=generator, dtype=torch.float64))
        self.start = 0.3 * torch.randn(45, generator=generator, dtype=torch.float64)

    def output(self, x):
        w1, b1, w2, b2 = x.split([18, 3, 18, 6])
        hidden = torch.tanh(self.data @ w1.view(6, 3) + b1)
        return hidden @ w2.view(3, 6) + b2

    def of_output(self, output):
        return (output - self.data).square().sum() / 80

    def loss(self, x):
        return self.of_output(self.output(x))

    def matrix(self, x):
        return GaussNewton(lambda p: self.output(p["x"]), self.of_output, {"x": x}, convex=True)


def test_a_net_learns_faster_than_by_gradient_descent():
    net = Net()
    direction = HessianFree(net.loss)
    path = descend(direction, At(net.loss, net.start, gauss_newton=net.matrix), 15)
    x = net.start.clone().requires_grad_()
    plain = torch.optim.SGD([x], lr=0.5)
    for _ in range(500):
        plain.zero_grad()
        net.loss(x).backward()
        plain.step()
    assert path[-1].value < net.loss(x).item()
    assert direction.evaluations >= 15


def test_losses_looked_at_and_products_are_counted():
    net, products = Net(), []

    def matrix(x):
        made = net.matrix(x)
        product = made._product
        made._product = lambda v: products.append(1) or product(v)
        return made

    direction = HessianFree(net.loss)
    objective = Objective(net.loss, net.start, gauss_newton=matrix)
    counts = minimize(objective, net.start, direction, max_evaluations=60, certify=False).counts
    assert direction.evaluations > 10
    assert counts.losses == counts.gradients + direction.evaluations
    assert counts.products == len(products)


def test_damping_and_start_are_carried_on():
    net = Net()
    first = HessianFree(net.loss)
    path = descend(first, At(net.loss, net.start, gauss_newton=net.matrix), 3)
    second = HessianFree(net.loss)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.propose(path[-1]).vector, second.propose(path[-1]).vector)
    model, damping = net.matrix(path[-1].x), first.damping
    want, _ = hessian_free_step(
        model,
        path[-1].gradient,
        damping=damping,
        start=0.95 * second.state_dict()["end"],
        loss_of=lambda d: float(net.loss(path[-1].x + d)),
    )
    third = HessianFree(net.loss)
    third.load_state_dict(second.state_dict())
    assert torch.equal(third.propose(path[-1]).vector, want.vector)
    cold = HessianFree(net.loss, decay=0.0)
    cold.load_state_dict({**first.state_dict(), "end": None})
    assert not torch.equal(first.propose(path[-1]).vector, cold.propose(path[-1]).vector)


def test_damping_is_a_share_of_the_curvature_along_the_gradient_and_follows_the_ratio():
    net = Net()
    at = At(net.loss, net.start, gauss_newton=net.matrix)
    direction = HessianFree(damping=0.5)
    d = direction.propose(at).vector
    g, b = at.gradient, net.matrix(at.x)
    first = 0.5 * float(g @ (b @ g) / (g @ g))
    assert direction.damping == pytest.approx(first)
    there = at.moved(d)
    ratio = (there.value - at.value) / float(g @ d + d @ (b @ d) / 2)
    direction.moved(at, there)
    factor = 2 / 3 if ratio > 0.75 else 1.5 if ratio < 0.25 else 1.0
    assert direction.damping == pytest.approx(factor * first)
    direction.propose(at)
    before = direction.damping
    direction.moved(at, at.moved(-d))
    assert direction.damping == pytest.approx(1.5 * before)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_unit_of_the_loss_does_not_matter_to_hessian_free(scale):
    net = Net()

    def matrix(x):
        loss = lambda output: scale * net.of_output(output)
        return GaussNewton(lambda p: net.output(p["x"]), loss, {"x": x}, convex=True)

    scaled = At(lambda x: scale * net.loss(x), net.start, gauss_newton=matrix)
    plain = At(net.loss, net.start, gauss_newton=net.matrix)
    steps = [HessianFree().propose(at).vector for at in (plain, scaled)]
    assert torch.allclose(*steps, rtol=1e-6)


@pytest.mark.parametrize(
    "setting, says",
    [({"damping": 0.0}, "damping=0.0"), ({"decay": 1.5}, "decay=1.5"), ({"max_steps": 0}, "=0")],
)
def test_settings_of_hessian_free_are_checked(setting, says):
    with pytest.raises(ValueError, match=says):
        HessianFree(**setting)
