"""Conjugate gradients and quasi-Newton directions against what theory says of them."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import torch

from thalweg.landscapes import rosenbrock
from thalweg.minimize import minimize
from thalweg.minimize.directions.conjugate_gradient import FORMULAS, ConjugateGradient
from thalweg.minimize.directions.limited_memory import LBFGS, LSR1
from thalweg.minimize.directions.pair import Pair, damped
from thalweg.minimize.directions.pair_memory import PairMemory
from thalweg.minimize.directions.quasi_newton import BFGS, DFP, SR1
from thalweg.minimize.directions.steepest_descent import SteepestDescent

N = 6


class Here:
    """A place on the quadratic f(x) = x'Ax / 2 - b'x."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x
        self.gradient = A @ x - B
        self.value = float(x @ A @ x / 2 - B @ x)


def spd(n: int) -> torch.Tensor:
    basis, _ = torch.linalg.qr(
        torch.randn(n, n, generator=torch.Generator().manual_seed(3)).double()
    )
    return basis @ torch.diag(torch.logspace(0, 2, n, dtype=torch.float64)) @ basis.T


A = spd(N)
B = torch.randn(N, generator=torch.Generator().manual_seed(4)).double()


def walk(direction, steps: int, x: torch.Tensor | None = None) -> list[torch.Tensor]:
    """The points that a direction visits on the quadratic with exact steps."""
    here = Here(torch.zeros(N).double() if x is None else x)
    visited = [here.x]
    for _ in range(steps):
        d = direction.propose(here).vector
        there = Here(here.x - (here.gradient @ d) / (d @ A @ d) * d)
        direction.moved(here, there)
        here = there
        visited.append(here.x)
    return visited


def by_the_book(steps: int) -> list[torch.Tensor]:
    """Hestenes and Stiefel's linear conjugate gradients, with the residual r = b - A x."""
    x = torch.zeros(N).double()
    r = p = B
    visited = [x]
    for _ in range(steps):
        alpha = (r @ r) / (p @ A @ p)
        x, r_new = x + alpha * p, r - alpha * A @ p
        p, r = r_new + (r_new @ r_new) / (r @ r) * p, r_new
        visited.append(x)
    return visited


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - {"hager-zhang"}))
def test_after_n_steps_the_gradient_is_all(name):
    """Successive gradients are orthogonal, so that no other reason for a restart is met."""
    e = torch.eye(3, dtype=torch.float64)
    direction, found = ConjugateGradient(name), []
    for gradient in (e[0], e[1], e[2], 0.1 * e[0]):
        at = SimpleNamespace(x=torch.ones(3).double(), value=1.0, gradient=gradient)
        found.append(torch.equal(direction.propose(at).vector, -gradient))
    assert found == [True, False, False, True]


CONJUGATE = {
    **{name: (lambda name=name: ConjugateGradient(name)) for name in FORMULAS},
    "bfgs": BFGS,
    "dfp": DFP,
    "l-bfgs": LBFGS,
}


@pytest.mark.parametrize("name", CONJUGATE)
def test_exact_steps_on_a_quadratic_are_those_of_linear_conjugate_gradients(name):
    for ours, theirs in zip(walk(CONJUGATE[name](), N), by_the_book(N), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CONJUGATE)
def test_a_quadratic_ends_in_n_steps(name):
    end = walk(CONJUGATE[name](), N)[-1]
    torch.testing.assert_close(end, torch.linalg.solve(A, B), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("search", ["strong-wolfe", "hager-zhang"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_a_search_by_its_name_is_as_tight_as_conjugate_gradients_need(formula, search):
    """The default's name is the default; loose searches take over a hundred steps here."""
    curved = torch.tensor([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 40.0]], dtype=torch.float64)

    def loss(x):
        return x @ curved @ x / 2 - x.sum()

    start = torch.zeros(3, dtype=torch.float64)
    steps = minimize(loss, start, formula, search).counts.steps
    assert steps == minimize(loss, start, formula).counts.steps == 3


@pytest.mark.parametrize("make", [BFGS, DFP, SR1])
def test_the_inverse_is_learned_in_n_steps(make):
    """BFGS and DFP from exact steps; SR1 from any steps that are independent."""
    direction = make()
    if make is SR1:
        points = [Here(x) for x in torch.eye(N + 1, N).double()]
        for before, after in itertools.pairwise(points):
            direction.moved(before, after)
    else:
        walk(direction, N)
    inverse = direction.state_dict()["inverse"]
    torch.testing.assert_close(inverse, torch.linalg.inv(A), rtol=1e-6, atol=1e-8)


def pairs(count: int) -> list[Pair]:
    """Pairs of a curved loss: y = A s, and a little more."""
    generator = torch.Generator().manual_seed(7)
    steps = torch.randn(count, N, generator=generator).double()
    changes = steps @ A + 0.05 * torch.randn(count, N, generator=generator).double()
    return [Pair(s, y, float(s @ y)) for s, y in zip(steps, changes, strict=True)]


class Step:
    """The two ends of a pair, as places."""

    def __init__(self, pair: Pair) -> None:
        zero = torch.zeros(N).double()
        self.before, self.after = PlainPlace(zero, zero), PlainPlace(pair.s, pair.y)


class PlainPlace:
    def __init__(self, x: torch.Tensor, gradient: torch.Tensor) -> None:
        self.x, self.gradient, self.value = x, gradient, 0.0


def taught(direction, count: int):
    for pair in pairs(count):
        step = Step(pair)
        direction.moved(step.before, step.after)
    return direction


def two_loops(g: torch.Tensor, memory: list[Pair]) -> torch.Tensor:
    """Nocedal's recursion (1980) for -H g, oldest pair first."""
    q, alphas = g, []
    for pair in reversed(memory):
        alphas.append((pair.s @ q) / pair.sy)
        q = q - alphas[-1] * pair.y
    last = memory[-1]
    r = last.sy / (last.y @ last.y) * q
    for pair, alpha in zip(memory, reversed(alphas), strict=True):
        r = r + (alpha - (pair.y @ r) / pair.sy) * pair.s
    return -r


@pytest.mark.parametrize("memory, count", [(1, 1), (5, 3), (5, 5), (4, 7), (3, 11)])
def test_l_bfgs_is_the_two_loop_recursion(memory, count):
    assert all(pair.sy > 0 for pair in pairs(count))
    direction = taught(LBFGS(memory), count)
    proposal = direction.propose(PlainPlace(B, B))
    torch.testing.assert_close(proposal.vector, two_loops(B, pairs(count)[-memory:]))
    assert proposal.slope == pytest.approx(float(B @ proposal.vector))


def updated(inverse: torch.Tensor, memory: list[Pair], rule) -> torch.Tensor:
    for pair in memory:
        inverse = rule(inverse, pair.s, pair.y)
    return inverse


def bfgs(h, s, y):
    left = torch.eye(N).double() - torch.outer(s, y) / (s @ y)
    return left @ h @ left.T + torch.outer(s, s) / (s @ y)


def sr1(h, s, y):
    r = s - h @ y
    return h + torch.outer(r, r) / (r @ y)


def test_l_bfgs_with_all_pairs_is_bfgs():
    """From the same first matrix, which L-BFGS takes from the last pair."""
    memory = pairs(N)
    last = memory[-1]
    first = last.sy / (last.y @ last.y) * torch.eye(N).double()
    vector = taught(LBFGS(N), N).propose(PlainPlace(B, B)).vector
    torch.testing.assert_close(vector, -updated(first, memory, bfgs) @ B)


def test_bfgs_is_its_formula():
    memory = pairs(4)
    first = memory[0].sy / (memory[0].y @ memory[0].y) * torch.eye(N).double()
    inverse = taught(BFGS(), 4).state_dict()["inverse"]
    torch.testing.assert_close(inverse, updated(first, memory, bfgs))


def test_l_sr1_with_all_pairs_is_sr1():
    memory = pairs(4)
    last = memory[-1]
    first = last.sy / (last.y @ last.y) / 2 * torch.eye(N).double()
    g = next(v for v in (B, -B) if float(v @ updated(first, memory, sr1) @ v) > 0)
    vector = taught(LSR1(4), 4).propose(PlainPlace(B, g)).vector
    torch.testing.assert_close(vector, -updated(first, memory, sr1) @ g)


@pytest.mark.parametrize("make", [BFGS, DFP, LBFGS])
def test_pairs_of_negative_curvature_are_refused_and_counted(make):
    direction = taught(make(), 3)
    before = direction.state_dict()
    good = pairs(1)[0]
    step = Step(Pair(good.s, -good.y, -good.sy))
    direction.moved(step.before, step.after)
    assert direction.rejected == 1
    same(direction.state_dict(), before)


def test_the_test_of_a_pair_does_not_know_its_unit():
    for unit in (1e-12, 1.0, 1e12):
        direction = LBFGS()
        step = Step(pairs(1)[0])
        step.after.gradient = unit * step.after.gradient
        direction.moved(step.before, step.after)
        assert direction.rejected == 0


def test_powells_damping_keeps_a_fifth_of_the_curvature():
    pair = pairs(1)[0]
    bs = 2 * pair.s
    mended = damped(Pair(pair.s, -pair.y, -pair.sy), bs)
    assert mended.sy == pytest.approx(0.2 * float(pair.s @ bs))
    assert mended.sy == pytest.approx(float(mended.s @ mended.y))
    assert damped(Pair(pair.s, bs, float(pair.s @ bs)), bs).y is bs


@pytest.mark.parametrize("make", [BFGS, LBFGS])
def test_damping_takes_the_matrix_for_what_it_is(make):
    """After a step along -H g, B s is -alpha g; the damped pair has a fifth of s'Bs."""
    direction = taught(make(damping=True), 3)
    here = PlainPlace(torch.zeros(N).double(), B)
    s = 0.7 * direction.propose(here).vector
    inverse = torch.stack(
        [-direction.propose(PlainPlace(B, e)).vector for e in torch.eye(N).double()]
    )
    y = -0.5 * torch.linalg.solve(inverse, s)
    direction.moved(here, PlainPlace(s, B + y))
    assert direction.rejected == 0
    # The secant condition holds with the damped y, 0.2 B s in this case.
    kept = 0.2 * torch.linalg.solve(inverse, s)
    torch.testing.assert_close(-direction.propose(PlainPlace(s, kept)).vector, s)


def same(left, right) -> None:
    torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)


EVERY = [
    SteepestDescent,
    *(lambda name=name: ConjugateGradient(name) for name in FORMULAS),
    BFGS,
    DFP,
    SR1,
    lambda: LBFGS(3),
    lambda: LSR1(3),
]


@pytest.mark.parametrize("make", EVERY)
def test_a_state_goes_on_exactly_and_is_a_copy(make):
    first, second = make(), make()
    halfway = walk(first, 4)[-1]
    state = first.state_dict()
    rest = walk(first, 2, halfway)
    second.load_state_dict(state)
    for ours, theirs in zip(walk(second, 2, halfway), rest, strict=True):
        assert torch.equal(ours, theirs)


def test_a_state_of_another_memory_is_refused():
    with pytest.raises(ValueError, match=r"memory=5"):
        LBFGS(3).load_state_dict(taught(LBFGS(5), 2).state_dict())


def test_a_memory_needs_room():
    with pytest.raises(ValueError, match=r"LBFGS\(memory=0\)"):
        LBFGS(0)
    with pytest.raises(RuntimeError, match="no pair"):
        PairMemory(2).products(B)


def test_an_unknown_formula_is_refused():
    with pytest.raises(ValueError, match="polak"):
        ConjugateGradient("polak")


@pytest.mark.parametrize("name", FORMULAS)
def test_every_proposal_descends(name):
    """Even after steps that fit no theory."""
    direction = ConjugateGradient(name)
    generator = torch.Generator().manual_seed(5)
    for _ in range(30):
        here = PlainPlace(*torch.randn(2, N, generator=generator).double())
        proposal = direction.propose(here)
        assert proposal.slope < 0
        assert proposal.slope == pytest.approx(float(here.gradient @ proposal.vector))


def test_bfgs_goes_where_scipys_goes():
    """On Rosenbrock's valley both end in a similar number of evaluations."""
    valley = rosenbrock()
    result = minimize(valley, valley.start, "bfgs")
    theirs = scipy.optimize.minimize(
        lambda x: scipy.optimize.rosen(x),
        valley.start.numpy(),
        method="BFGS",
        jac=scipy.optimize.rosen_der,
        options={"gtol": float(result.gradient.abs().max())},
    )
    np.testing.assert_allclose(result.x.numpy(), theirs.x, atol=1e-6)
    assert result.counts.losses <= 1.25 * theirs.nfev


@pytest.mark.parametrize("gained, shorter", [(1e-3, "gain"), (1e3, "curvature")])
def test_first_lengths_are_the_shorter_of_two(gained, shorter):
    """That of the last gain, twice it over the slope; and Barzilai and Borwein's longer one."""
    before, after = Here(torch.zeros(N).double()), Here(0.01 * B)
    after.value = before.value - gained
    direction = SteepestDescent()
    direction.propose(before)
    direction.moved(before, after)
    s, g = after.x, after.gradient
    lengths = {"gain": 2 * gained / float(g @ g), "curvature": float(s @ s / (s @ A @ s))}
    assert min(lengths, key=lengths.get) == shorter
    assert direction.propose(after).length == pytest.approx(lengths[shorter], rel=1e-12)


def test_a_first_length_trusts_no_negative_curvature():
    before, after = Here(torch.zeros(N).double()), Here(0.01 * B)
    after.value, after.gradient = before.value - 0.5, 2 * before.gradient
    direction = SteepestDescent()
    direction.moved(before, after)
    slope = float(after.gradient @ after.gradient)
    assert direction.propose(after).length == pytest.approx(1.0 / slope, rel=1e-12)
