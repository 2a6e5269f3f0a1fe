r"""Curvature as an adaptive optimizer sees it.

An optimizer whose step is  lr P^{-1} m,  P a positive diagonal, moves in coordinates stretched by
P^{1/2}. There the curvature is

    P^{-1/2} A P^{-1/2},

which has the eigenvalues of P^{-1} A and, unlike it, is symmetric. Its largest eigenvalue, not that
of A, decides whether Adam is stable: Cohen et al., *Adaptive gradient methods at the edge of
stability* (arXiv 2207.14484).

Cost: one product of A and two multiplications by a vector.
"""

from typing import final

import torch
from torch import Tensor

from thalweg.operators.operator import Operator


@final
class Preconditioned(Operator):
    """P^{-1/2} A P^{-1/2} for the operator A and P = diag(diagonal).

    Args:
        operator: A, n x n.
        diagonal: of P, shape (n,), positive and finite, in the operator's dtype and device.

    Raises:
        ValueError: another shape, or an entry that is not positive and finite.

    The result is positive semidefinite exactly if A is, so it has the same facts.
    """

    def __init__(self, operator: Operator, diagonal: Tensor) -> None:
        check_diagonal(operator, diagonal)
        self.name = f"Preconditioned {operator.name}"
        self.size = operator.size
        self.dtype = operator.dtype
        self.device = operator.device
        self.facts = operator.facts
        self._operator = operator
        self._scale = diagonal.detach().to(operator.device, operator.dtype).rsqrt()

    def _product(self, vector: Tensor) -> Tensor:
        return self._scale * (self._operator @ (self._scale * vector))


def check_diagonal(operator: Operator, diagonal: Tensor) -> None:
    """Raise ValueError unless `diagonal` is a positive diagonal for `operator`."""
    if diagonal.shape != (operator.size,):
        raise ValueError(
            f"Preconditioned: {operator.name} is {operator.size} x {operator.size}; the diagonal "
            f"has shape {tuple(diagonal.shape)}. Give a vector of shape ({operator.size},)."
        )
    bad = int((~((diagonal > 0) & torch.isfinite(diagonal))).sum())
    if bad:
        raise ValueError(
            f"Preconditioned: {bad} of {operator.size} entries of the diagonal are not positive "
            "and finite. An optimizer's epsilon belongs in it: sqrt(v) + eps."
        )


def adam_preconditioner(
    exp_avg_sq: Tensor,
    *,
    step: int,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Tensor:
    r"""The diagonal P that Adam divides by at its step number `step` (1, 2, ...).

        P = (1 - b1^t) ( sqrt( v / (1 - b2^t) ) + eps )

    so that the step is lr P^{-1} m with the uncorrected momentum m (arXiv 2207.14484, section 2).

    Args:
        exp_avg_sq: v, any shape; torch's state of that name, after the step.
        step: t, torch's state of that name, after the step.
        betas: (b1, b2).
        eps: added outside the root, as torch does.

    Raises:
        ValueError: `step` below 1.
    """
    if step < 1:
        raise ValueError(f"adam_preconditioner(step={step}): Adam's first step is number 1.")
    b1, b2 = betas
    return (1 - b1**step) * ((exp_avg_sq / (1 - b2**step)).sqrt() + eps)
