r"""Newton-Raphson: to where the gradient of the quadratic model is zero.

    x <- x - gamma H^-1 g

The root of the gradient as Newton and Raphson find roots, and for a quadratic loss its critical
point, in one step for gamma = 1. Where H is positive definite d = -H^-1 g leads down, and
Cholesky's factorization finds out at once. Elsewhere the critical point is a saddle or a maximum,
and Newton's step goes there: so H is modified to be positive definite, by the sizes of its
eigenvalues (see `directions.spectrum`). modify="none" leaves it, as the method is taught, and shows
the attraction to saddles.

J. Nocedal & S. Wright, *Numerical Optimization* (2006), sections 3.3 and 3.4.

Cost: n products and n^3 / 3 operations a step, some ten n^3 where H is modified. Memory: 2 n^2
numbers.
"""

from typing import Literal, final, get_args

import torch
from torch import Tensor

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.escape import escape_by
from thalweg.minimize.directions.memoryless import Memoryless
from thalweg.minimize.directions.models import Asked, hessian_model
from thalweg.minimize.directions.quadratic_model import proposed
from thalweg.minimize.directions.settings import (
    check_choice,
    check_count,
    check_positive,
    check_share,
    root_of_rounding,
)
from thalweg.minimize.directions.spectrum import Modification, Spectrum, dense, sizes, solved

Modify = Literal["absolute", "floor", "none"]


def newton_step(
    hessian: Tensor,
    gradient: Tensor,
    *,
    modify: Modify = "absolute",
    floor: float | None = None,
    first: float = 1.0,
) -> Proposal:
    """The Newton step for a dense Hessian.

    Args:
        hessian: H, shape (n, n).
        gradient: g, shape (n,).
        modify: what stands for eigenvalues that are not positive; "none" solves with H as it is,
            and takes the step of least length where H is singular.
        floor: of the modified eigenvalues, as a share of the largest |lambda|; the root of the
            precision's rounding if None.
        first: gamma, the step to try first.
    """
    wide, g = hessian.double(), gradient.double()
    factor, failed = torch.linalg.cholesky_ex((wide + wide.mT) / 2)
    if not failed:
        d = -torch.cholesky_solve(g[:, None], factor)[:, 0]
    elif modify == "none":
        d = -torch.linalg.pinv(wide, hermitian=True) @ g
    else:
        d = modified_step(Spectrum.of(wide), gradient, modify, floor)
    return proposed(d.to(gradient.dtype), gradient, first=first)


def modified_step(
    spectrum: Spectrum, gradient: Tensor, modify: Modification, floor: float | None
) -> Tensor:
    """-Q diag(1 / size) Q' g, shape (n,)."""
    share = root_of_rounding(gradient.dtype) if floor is None else floor
    return solved(spectrum, gradient, sizes(spectrum.values, modify, share))


@final
class Newton(Memoryless):
    """Newton-Raphson with a dense Hessian.

    Args:
        step: gamma, the step that the search tries first; with a fixed search, the step.
        modify: what stands for eigenvalues that are not positive: "absolute" their sizes, "floor"
            the least eigenvalue allowed; "none" leaves them, and the step may lead up.
        floor: the least eigenvalue allowed, as a share of the largest |lambda|; the root of the
            precision's rounding if None.
        largest: the most parameters to write a Hessian down for.

    Raises:
        ValueError: a setting out of its domain; from `propose`, more parameters than `largest`.
    """

    name = "newton"
    needs: frozenset[Need] = frozenset({"hessian"})

    def __init__(
        self,
        *,
        step: float = 1.0,
        modify: Modify = "absolute",
        floor: float | None = None,
        largest: int = 2000,
    ) -> None:
        check_positive(type(self).__name__, "step", step)
        check_choice(type(self).__name__, "modify", modify, get_args(Modify))
        check_share(type(self).__name__, "floor", floor)
        check_count(type(self).__name__, "largest", largest)
        self.step, self.modify, self.floor, self.largest = step, modify, floor, largest

    def model(self) -> Asked:
        """B = H as it is; the radius holds a step back where H is not positive definite."""
        return hessian_model()

    def propose(self, at: Place) -> Proposal:
        """The Newton step; where the gradient is zero, the way out if there is one."""
        hessian = dense(type(self).__name__, at.hessian(), self.largest, "NewtonCG or NewtonMINRES")
        if self.modify != "none" and not bool(at.gradient.any()):
            return escape_by(Spectrum.of(hessian), at.x)
        return newton_step(
            hessian, at.gradient, modify=self.modify, floor=self.floor, first=self.step
        )
