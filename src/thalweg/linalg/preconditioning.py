"""Preconditioners: a symmetric positive definite M that is near A^-1, known by its products.

A solver then works on M^{1/2} A M^{1/2}, whose spectrum is narrower, and stops by the residual of
the problem that was posed.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from thalweg.linalg.basis import norm
from thalweg.linalg.products import dot, power_of_two
from thalweg.operators import Operator

Preconditioner = Operator | Callable[[Tensor], Tensor]
Precondition = Callable[[Tensor], Tensor]


def preconditioning(solver: str, preconditioner: object, operator: Operator) -> Precondition:
    """r -> M r, checked; `identity` without a preconditioner.

    Raises:
        TypeError: neither an Operator nor callable.
        ValueError: an Operator of another size.
    """
    if preconditioner is None:
        return identity
    if isinstance(preconditioner, Operator):
        check_size(solver, preconditioner, operator)
        return lambda r: applied(solver, preconditioner.__matmul__, preconditioner.dtype, r)
    if callable(preconditioner):
        return lambda r: applied(solver, preconditioner, operator.dtype, r)
    raise TypeError(
        f"{solver}(preconditioner={type(preconditioner).__name__}): give an Operator near the "
        "inverse, or a function of one flat vector that multiplies with it."
    )


def identity(r: Tensor) -> Tensor:
    """No preconditioner: M = I."""
    return r


def check_size(solver: str, preconditioner: Operator, operator: Operator) -> None:
    """Raise ValueError unless both are n x n."""
    if preconditioner.size != operator.size:
        raise ValueError(
            f"{solver}(preconditioner={preconditioner.name}): it is {preconditioner.size} x "
            f"{preconditioner.size}, {operator.name} is {operator.size} x {operator.size}."
        )


def applied(solver: str, function: Precondition, dtype: torch.dtype, r: Tensor) -> Tensor:
    """M r in r's dtype, from a vector of length near 1.

    Raises:
        ValueError: the result has another shape.
        FloatingPointError: it is not finite.
    """
    scale = power_of_two(norm(r))
    z = function((r / scale).to(dtype))
    if z.shape != r.shape:
        raise ValueError(
            f"{solver}: the preconditioner returned shape {tuple(z.shape)} for a vector of shape "
            f"{tuple(r.shape)}; it is to return the same."
        )
    if not math.isfinite(norm(z)):
        raise FloatingPointError(
            f"{solver}: the preconditioner's product is not finite for a vector of about length 1."
        )
    return z.to(r.dtype) * scale


def inner(solver: str, r: Tensor, z: Tensor, eps: float) -> float:
    """r'M r for z = M r.

    Raises:
        ValueError: negative beyond rounding, or zero with z, so M is not positive definite.
    """
    value = dot(r, z)
    if value < -eps * norm(r) * norm(z) or norm(z) == 0 < norm(r):
        raise ValueError(
            f"{solver}: r'M r = {value:.3g} for the preconditioner M and a residual r; give a "
            "positive definite M."
        )
    return max(value, 0.0)
