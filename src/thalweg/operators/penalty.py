r"""A penalty that is added to the loss, as an operator: its Hessian, or its gradient alone.

A penalty is minus the logarithm of a prior, and its Hessian the prior's share in the curvature of
the posterior, whatever matrix stands for the likelihood's share (MacKay, *A practical Bayesian
framework for backpropagation networks*, Neural Computation 1992).

Most penalties are sums over single numbers (weight decay, on some of the parameters or with rates
of their own; L1 and its smooth forms), and their Hessians diagonal:

    H u = d u, entry by entry, for one random u and d = H 1

Where H is not diag(d), the vectors u for which this holds are a subspace, met with probability
zero; so two products tell. A diagonal without a negative entry is positive semidefinite.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from thalweg.operators.checks import SUMMING, rounding
from thalweg.operators.hessian import Hessian
from thalweg.operators.model_loss import LossOfParameters
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.pulled_back import PSD
from thalweg.operators.snapshot import Snapshot


def penalty_hessian(penalty: LossOfParameters, params: Snapshot) -> Hessian:
    """The Hessian of a penalty, with the fact "psd" where it is diagonal and has it."""
    hessian = Hessian(penalty, params)
    diagonal = diagonal_of(hessian)
    if diagonal is not None and bool((diagonal >= 0).all()):
        hessian.facts = PSD
    return hessian


def diagonal_of(hessian: Hessian) -> Tensor | None:
    """The diagonal, shape (n,), of a Hessian that is diagonal to rounding; None for another."""
    ones = torch.ones(hessian.size, dtype=hessian.dtype, device=hessian.device)
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(hessian.size, generator=generator, dtype=torch.float64).to(ones)
    diagonal, along = hessian @ ones, hessian @ u
    allowed = SUMMING * rounding(hessian.layout) * along.abs().max()
    return diagonal if bool(((along - diagonal * u).abs() <= allowed).all()) else None


@final
class WithoutCurvature(ParameterOperator):
    """A penalty's value and gradient, beside a zero matrix.

    For matrices that a penalty enters otherwise than by its Hessian.

    Args:
        penalty: from named parameters to a scalar.
        params: names to tensors; the values are copied.
    """

    def __init__(self, penalty: LossOfParameters, params: Snapshot) -> None:
        self._of = Hessian(penalty, params, way="forward")
        self.name, self.facts = "penalty", PSD
        self.layout, self.loss, self.gradient = self._of.layout, self._of.loss, self._of.gradient

    def _product(self, vector: Tensor) -> Tensor:
        return torch.zeros_like(vector)

    def _products(self, vectors: Tensor) -> Tensor:
        return torch.zeros_like(vectors)

    @property
    def place(self) -> Tensor:
        """The parameters, flat, shape (n,)."""
        return self._of.place

    def loss_at(self, by: Tensor) -> float:
        """The penalty at the parameters plus `by`."""
        return self._of.loss_at(by)

    def gradient_at(self, by: Tensor) -> Tensor:
        """Its gradient at the parameters plus `by`."""
        return self._of.gradient_at(by)

    def exact_diagonal(self) -> Tensor:
        """Zeros."""
        return torch.zeros_like(self.gradient)

    def exact_trace(self) -> float:
        """Zero."""
        return 0.0

    def close(self) -> None:
        """Let go of the penalty."""
        self._of.close()
