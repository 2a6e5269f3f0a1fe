r"""Sharpness, three ways: along the step, in the worst direction, and in all directions together.

* **critical sharpness**: 2 over the learning rate at which the step along the negative gradient
  no longer lowers the loss; by forward passes alone (`curvature.critical_rate`).
* **lambda_max**: the Hessian's largest eigenvalue.
* **trace**: the sum of all eigenvalues; over n, the mean curvature.

On a quadratic the critical sharpness is the curvature along the gradient, g.Hg / g.g, and at most
lambda_max. Kalra et al. (arXiv 2601.16979); Cohen et al. (arXiv 2103.00065) for lambda_max.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn

from thalweg.curvature.critical_rate import CriticalRate, critical_rate
from thalweg.curvature.place import curvature_at
from thalweg.linalg import Extremes, lanczos
from thalweg.linalg.estimate import Estimate
from thalweg.linalg.trace import trace
from thalweg.operators import ParameterOperator


@final
@dataclass(frozen=True, eq=False)
class Sharpness:
    """How sharply the loss is curved where the parameters are.

    Attributes:
        critical: the critical sharpness; 0 where the loss never rose within the range, infinite
            where it never fell.
        critical_learning_rate: 2 / critical.
        largest: lambda_max, the best estimate.
        largest_error: an eigenvalue lies within this of it.
        trace: of the Hessian, with its interval.
        step: the search along the gradient.
        extremes: the end of the spectrum that lambda_max is from.
    """

    critical: float
    critical_learning_rate: float
    largest: float
    largest_error: float
    trace: Estimate
    step: CriticalRate
    extremes: Extremes

    def __str__(self) -> str:
        """On one line."""
        return (
            f"critical sharpness {self.critical:.4g}, lambda_max {self.largest:.4g} "
            f"+- {self.largest_error:.1g}, trace {self.trace.value:.4g} "
            f"[{self.trace.lower:.4g}, {self.trace.upper:.4g}]"
        )


def sharpness(
    model: nn.Module | ParameterOperator,
    loss: Callable[[Any, Any], Tensor] | None = None,
    data: Any = None,
    *,
    tol: float = 1e-3,
    max_products: int = 100,
    trace_products: int = 60,
    seed: int = 0,
    **options: Any,
) -> Sharpness:
    """The sharpness of the loss where the parameters are.

    Args:
        model: a model, with `loss` and `data` as `Hessian.of_model` takes them; or a Hessian.
        loss: from output and targets to a scalar.
        data: one batch (inputs, targets), or a list or loader of batches.
        tol: relative error of lambda_max, proved.
        max_products: of the Hessian for lambda_max, at the most.
        trace_products: of the Hessian for the trace.
        seed: of the random vectors.
        options: for `Hessian.of_model`.

    Raises:
        TypeError: `model` is neither; or a loss or data is missing.
        ValueError: an argument out of its domain.
        FloatingPointError: a product is not finite.
    """
    with curvature_at("sharpness", model, loss, data, options) as hessian:
        ends = lanczos(
            hessian,
            ends="largest",
            tol=tol,
            relative_to="each",
            max_products=max_products,
            seed=seed,
        )
        lr = first_guess(hessian, ends)
        along = critical_rate(
            lambda s: hessian.loss_at(-s * lr * hessian.gradient), dtype=hessian.dtype
        )
        total = trace(hessian, products=trace_products, seed=seed)
    return Sharpness(
        critical=along.sharpness(lr),
        critical_learning_rate=along.learning_rate(lr),
        largest=ends.largest.value,
        largest_error=ends.largest.error,
        trace=total,
        step=along,
        extremes=ends,
    )


def first_guess(hessian: ParameterOperator, ends: Extremes) -> float:
    """A learning rate to search from: the critical one of the loss's parabola along the gradient.

    Where that is not curved upwards: the maximal rate by lambda_max, or a step of length 1.
    """
    g = hessian.gradient
    squared, bend = float(g @ g), float(g @ (hessian @ g))
    if bend > 0:
        return 2 * squared / bend
    if ends.largest.value > 0:
        return 2 / ends.largest.value
    return 1 / math.sqrt(squared) if squared > 0 else 1.0
