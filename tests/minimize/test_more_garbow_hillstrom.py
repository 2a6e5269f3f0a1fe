"""Every sum of squares of More, Garbow and Hillstrom's is solved, in no more than scipy takes."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from thalweg.landscapes.more_garbow_hillstrom import PROBLEMS, SumOfSquares
from thalweg.minimize import Objective, minimize


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("direction", ["l-bfgs", "bfgs"])
def test_every_one_is_solved_and_said_to_be(direction, name):
    known = PROBLEMS[name]
    result = minimize(known.loss, known.start, direction)
    assert result.status == "converged", result
    assert known.has_minimum(result.value), result


class Reached:
    """A loss that notes after how many evaluations it was that of a minimum.

    Its gradient would tell less: of Powell's badly scaled function there are points on the valley's
    floor, far from the minimum, where it is below a millionth.
    """

    def __init__(self, known: SumOfSquares) -> None:
        self.known, self.taken, self.at = known, 0, None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        value = self.known.loss(x)
        (gradient,) = torch.autograd.grad(value, x)
        self.taken += 1
        if self.at is None and self.known.has_minimum(float(value.detach())):
            self.at = self.taken
        return value.detach(), gradient

    def for_scipy(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self(torch.from_numpy(x.copy()))
        return float(value), gradient.numpy()


def by_scipy(known: SumOfSquares) -> int | None:
    """Evaluations of scipy's L-BFGS-B to a known minimum; None if it never comes."""
    reached = Reached(known)
    options = {"ftol": 0.0, "gtol": 0.0, "maxfun": 2000, "maxiter": 2000}
    start = known.start.numpy()
    scipy.optimize.minimize(reached.for_scipy, start, jac=True, method="L-BFGS-B", options=options)
    return reached.at


def by_us(known: SumOfSquares) -> int | None:
    """The same of ours, which does not stop of itself either."""
    reached = Reached(known)
    objective = Objective(reached, known.start, gives_gradient=True)
    minimize(objective, known.start, tol=0.0, max_evaluations=2000)
    return reached.at


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_no_more_evaluations_than_scipy():
    ours = {name: by_us(known) for name, known in PROBLEMS.items()}
    scipys = {name: by_scipy(known) for name, known in PROBLEMS.items()}
    both = [name for name in ours if ours[name] and scipys[name]]
    assert [name for name in ours if scipys[name] and not ours[name]] == []
    assert sum(ours[name] for name in both) <= sum(scipys[name] for name in both)
