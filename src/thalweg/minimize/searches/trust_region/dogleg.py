"""Powell's dogleg: along the gradient to the model's minimum, from there towards Newton's step.

The path 0 -> d_C -> d_N with the unconstrained Cauchy step d_C = -g'g/g'Bg g and Newton's step
d_N = -B^-1 g. For a positive definite B the model falls all along it and its length grows, so the
step is where it crosses the boundary, or d_N. Where B is not positive definite there is no path,
and the step is the Cauchy point; `Exact` does better there.

M. J. D. Powell, in *Numerical Methods for Nonlinear Algebraic Equations* (1970). Cost: n products
to write B down and n^3/3 operations for its Cholesky factor, once for all radii at one place.
"""

from typing import final

import torch
from torch import Tensor

from thalweg.linalg.products import dot, length
from thalweg.minimize.contract import TrialStep
from thalweg.minimize.searches.trust_region.cauchy import cauchy
from thalweg.minimize.searches.trust_region.model import decrease, nowhere, posed, to_boundary
from thalweg.minimize.searches.trust_region.remembered import Remembered
from thalweg.operators import Operator


@final
class Dogleg:
    """The dogleg step on a matrix that is written down.

    Args:
        max_size: the largest n for which that is done.

    Raises:
        ValueError: `max_size` below 1.
    """

    def __init__(self, max_size: int = 2000) -> None:
        self._factor = Remembered(factored, "Dogleg", max_size)

    def step(self, model: Operator, gradient: Tensor, radius: float) -> TrialStep:
        """The step; see `contract.Subproblem`. Zero where the gradient is.

        Raises:
            TypeError, ValueError: a problem that makes no sense; see `trust_region.model`.
            FloatingPointError: the model is not finite.
        """
        products = posed("Dogleg", model, gradient, radius)
        if not (size := length(gradient)):
            return nowhere(gradient, 0)
        (entries, factor), taken = self._factor(model)
        g = gradient.double()
        unit = g / size
        if factor is None:
            product = (entries @ unit).to(gradient.dtype)
            products.taken, products.norm = taken, float(torch.linalg.matrix_norm(entries))
            return cauchy(products, gradient, gradient / size, product, radius)
        cauchys = -size / dot(unit, entries @ unit) * unit
        newtons = -size * torch.cholesky_solve(unit.unsqueeze(1), factor).squeeze(1)
        d, boundary = on_path(cauchys, newtons, radius)
        return TrialStep(d.to(gradient.dtype), decrease(g, d, entries @ d), boundary, taken)


def factored(entries: Tensor) -> tuple[Tensor, Tensor | None]:
    """B, and its lower Cholesky factor if it is positive definite."""
    factor, failed = torch.linalg.cholesky_ex(entries)
    return entries, None if int(failed) else factor


def on_path(cauchys: Tensor, newtons: Tensor, radius: float) -> tuple[Tensor, bool]:
    """The point of the path within the radius, and whether it lies on the boundary."""
    if length(newtons) <= radius:
        return newtons, False
    reach = length(cauchys)
    if reach >= radius:
        return radius / reach * cauchys, True
    rest = newtons - cauchys
    return cauchys + to_boundary(cauchys, rest, radius) * rest, True
