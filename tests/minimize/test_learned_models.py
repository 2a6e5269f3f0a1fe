"""Models that a trust region learns: B against the textbook's own updates of B."""

import pytest
import torch
from second_order_places import At, quadratic, rosenbrock, turned, vector

from thalweg.minimize.directions.limited_memory import LBFGS, LDFP, LSR1
from thalweg.minimize.directions.quasi_newton import BFGS, DFP, SR1

N = 6


def bfgs(b, s, y):
    """Nocedal & Wright, eq. 6.19."""
    bs = b @ s
    return b - torch.outer(bs, bs) / (s @ bs) + torch.outer(y, y) / (y @ s)


def dfp(b, s, y):
    """Nocedal & Wright, eq. 6.13."""
    left = torch.eye(len(s), dtype=s.dtype) - torch.outer(y, s) / (y @ s)
    return left @ b @ left.T + torch.outer(y, y) / (y @ s)


def sr1(b, s, y):
    """Nocedal & Wright, eq. 6.24."""
    r = y - b @ s
    return b + torch.outer(r, r) / (r @ s)


def size(s, y, share=1.0):
    """The identity in the size of the curvature along s."""
    return share * abs(s @ y) / (s @ s) * torch.eye(len(s), dtype=s.dtype)


# Direction, formula, what B begins with, whether with the first pair or with the last.
METHODS = {
    "bfgs": (BFGS, bfgs, 1.0, 0),
    "dfp": (DFP, dfp, 1.0, 0),
    "sr1": (SR1, sr1, 0.5, 0),
    "l-bfgs": (lambda: LBFGS(20), bfgs, 1.0, -1),
    "l-dfp": (lambda: LDFP(20), dfp, 1.0, -1),
    "l-sr1": (lambda: LSR1(20), sr1, 0.5, -1),
}
every_method = pytest.mark.parametrize("name", METHODS)


def pairs(matrix, count, seed=0):
    """Steps in random directions on a quadratic: (before, after)."""
    generator = torch.Generator().manual_seed(seed)
    at = At(quadratic(matrix, vector(N)), vector(N, seed=5))
    for _ in range(count):
        step = torch.randn(N, generator=generator, dtype=torch.float64)
        yield at, at.moved(step)
        at = at.moved(step)


def matrix_of(name):
    values = [-3.0, -0.5, 0.4, 1.0, 2.0, 7.0] if "sr1" in name else [0.2, 0.4, 0.7, 1.0, 2.0, 7.0]
    return turned(values)[0]


@every_method
@pytest.mark.parametrize("count", [1, 2, 4])
def test_b_is_what_the_textbooks_updates_give(name, count):
    make, formula, share, sized_by = METHODS[name]
    model, steps = make().model(), list(pairs(matrix_of(name), count))
    taught = [(b.x - a.x, b.gradient - a.gradient) for a, b in steps]
    expected = size(*taught[sized_by], share)
    for s, y in taught:
        expected = formula(expected, s, y)
    assert all([model.tried(*step) for step in steps])
    found = model.at(steps[-1][1]).to_dense()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@every_method
def test_the_last_pair_is_satisfied(name):
    model = METHODS[name][0]().model()
    for before, after in pairs(matrix_of(name), 3):
        model.tried(before, after)
    s, y = after.x - before.x, after.gradient - before.gradient
    torch.testing.assert_close(model.at(after) @ s, y)


@pytest.mark.parametrize("name", ["sr1", "l-sr1"])
def test_sr1_knows_an_indefinite_hessian_after_n_steps(name):
    matrix, model = matrix_of(name), METHODS[name][0]().model()
    for before, after in pairs(matrix, N + 1):
        model.tried(before, after)
    torch.testing.assert_close(model.at(after).to_dense(), matrix, rtol=1e-6, atol=1e-6)


@every_method
def test_before_the_first_step_the_model_is_a_plane(name):
    at = At(rosenbrock, vector(N))
    assert not METHODS[name][0]().model().at(at).to_dense().any()


@pytest.mark.parametrize("name", ["bfgs", "dfp", "l-bfgs", "l-dfp"])
def test_a_pair_of_negative_curvature_is_refused(name):
    model = METHODS[name][0]().model()
    before, after = next(pairs(-torch.eye(N).double(), 1))
    assert not model.tried(before, after)
    assert model.rejected == 1
    assert not model.at(after).to_dense().any()


@pytest.mark.parametrize("make", [BFGS, LBFGS])
def test_powells_damping_keeps_it_turned_towards_b(make):
    """Procedure 18.2 of Nocedal & Wright, with B written down."""
    model = make(damping=True).model()
    start, at = next(pairs(matrix_of("bfgs"), 1))
    model.tried(start, at)
    b = model.at(at).to_dense()
    before = At(quadratic(-b, vector(N)), at.x)
    after = before.moved(vector(N, seed=9))
    s, y = after.x - before.x, after.gradient - before.gradient
    theta = 0.8 * (s @ b @ s) / (s @ b @ s - s @ y)
    assert model.tried(before, after)
    bent = theta * y + (1 - theta) * b @ s
    torch.testing.assert_close(model.at(after) @ s, bent)
    assert float(s @ bent) == pytest.approx(0.2 * float(s @ b @ s))


@every_method
def test_the_state_is_a_copy_that_goes_on_to_the_same_digits(name):
    steps = list(pairs(matrix_of(name), 4))
    model, other = METHODS[name][0]().model(), METHODS[name][0]().model()
    model.tried(*steps[0])
    saved = model.state_dict()
    for step in steps[1:]:
        model.tried(*step)
    other.load_state_dict(saved)
    for step in steps[1:]:
        other.tried(*step)
    at = steps[-1][1]
    assert torch.equal(model.at(at).to_dense(), other.at(at).to_dense())
