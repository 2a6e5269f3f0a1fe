r"""What learning rate? From the curvature where the parameters are, and checked by stepping.

For a curvature a, one eigenvalue of the Hessian, gradient descent's optimal rate is 1/a: one step
goes to the bottom. Its maximal rate is 2/a. With many eigenvalues the largest decides:

    optimal = fastest / lambda_max          maximal = limit / lambda_max

where `fastest` and `limit` are 1 and 2 for gradient descent, and `curvature.methods` has them for
momentum, Nesterov's method and Adam (there lambda_max is that of the preconditioned Hessian).
LeCun, Simard & Pearlmutter, *Automatic learning rate maximization by on-line estimation of the
Hessian's eigenvectors* (NIPS 1992).

The ends of the interval are of different strength. A Ritz value never exceeds lambda_max but for
rounding, so no rate above `high` is stable: a fact. That none below `low` diverges holds but for a
millionth of the random start vectors (`linalg.extremes`).

Steps can tell the two ends apart only where the loss is its parabola over the displacements that
rounding allows. A net of rectified linear units in float32 may have a kink nearer than that: then
the check says how rough the loss is and leaves the answer unconfirmed; float64 resolves more.

All this is about full-batch steps near where the parameters are. Curvature changes along the way;
training at the edge of stability, where 2 / lambda_max hovers at the rate in use, is no fault; and
the noise of minibatches may ask for less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from thalweg.curvature.methods import Method, Name
from thalweg.curvature.own_method import own_method
from thalweg.curvature.place import curvature_at
from thalweg.curvature.stepping import Stepped, stepped
from thalweg.linalg import Extremes, lanczos
from thalweg.operators import ParameterOperator, Preconditioned

SWINGS = (1.0, 3.0, -3.0)
MARGIN = 0.01  # beyond the ends of the interval, where steps must tell
DEFAULT_MOMENTUM: dict[str, float] = {"gradient-descent": 0.0}


@final
@dataclass(frozen=True)
class Rate:
    """A learning rate with its interval; infinite where no direction is curved upwards.

    Attributes:
        value: the best estimate.
        low: at least this, but for a millionth of the random starts.
        high: at most this, up to rounding.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As a person would write it."""
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@final
@dataclass(frozen=True, eq=False)
class LearningRate:
    """The learning rates of a method at a point.

    Attributes:
        method: with its momentum.
        optimal: at which the stiffest direction converges fastest.
        maximal: beyond which the stiffest direction diverges.
        along_gradient: which goes to the bottom of the loss's parabola along the gradient step:
            g.g / g.Hg (with a diagonal P, g.P^-1 g / ...); infinite where it is not curved upwards.
        below: steps at a rate just below `maximal.low`; they should come back. None if unchecked.
        above: steps at a rate just above `maximal.high`; they should leave.
        roughness: |(g(w + h v) - g(w)) / h - lambda v| / lambda over the displacements h of those
            steps, v the stiffest direction; nan if unchecked.
        extremes: the ends of the spectrum that all this rests on.
        in_use: of the optimizer's first group, to whose rate the others' are in proportion; None
            without an optimizer.
    """

    method: Method
    optimal: Rate
    maximal: Rate
    along_gradient: float
    below: Stepped | None
    above: Stepped | None
    roughness: float
    extremes: Extremes
    in_use: float | None = None

    @property
    def confirmed(self) -> bool | None:
        """Whether stepping agreed.

        None if it was not tried, if nothing is curved upwards, or if the loss is too rough there
        for steps to tell.
        """
        if self.below is None or self.above is None:
            return None
        agreed = self.above.grew and not self.below.grew
        return True if agreed else None if self.roughness > MARGIN / 2 else False

    @property
    def check(self) -> str:
        """What the check by stepping came to, in words."""
        if self.confirmed is None:
            rough = f"too rough to check by stepping ({self.roughness:.1%})"
            return "not checked by stepping" if self.below is None else rough
        return "confirmed by stepping" if self.confirmed else "NOT confirmed by stepping"

    def __str__(self) -> str:
        """On three lines, or four."""
        used = "" if self.in_use is None else f"\nin use {self.in_use:.4g}"
        return (
            f"{self.method.name}: optimal learning rate {self.optimal}\n"
            f"maximal learning rate {self.maximal}, {self.check}\n"
            f"along the gradient {self.along_gradient:.4g}{used}"
        )


def learning_rate(
    model: nn.Module | ParameterOperator,
    loss: Callable[[Any, Any], Tensor] | None = None,
    data: Any = None,
    *,
    optimizer: Optimizer | None = None,
    method: Name | None = None,
    momentum: float | None = None,
    diagonal: Tensor | None = None,
    tol: float = 1e-3,
    max_products: int = 100,
    steps: int | None = None,
    seed: int = 0,
    **options: Any,
) -> LearningRate:
    """The optimal and the maximal learning rate where the parameters are.

    Args:
        model: a model, with `loss` and `data` as `Hessian.of_model` takes them; or a Hessian.
        loss: from output and targets to a scalar.
        data: one batch (inputs, targets), or a list or loader of batches.
        optimizer: the model's own, an adaptive one after at least one step: its method, momentum,
            diagonal and weight decay are read from it, and what it does not move stays. PyTorch's
            SGD, Adam, AdamW, RAdam, Adamax, RMSprop, Adagrad, Adadelta, and thalweg.optim's.
        method: "gradient-descent" (by default), "momentum", "nesterov" or "adam".
        momentum: of the method, Adam's beta1; 0.9 if None, but 0 for gradient descent.
        diagonal: P, positive, shape (n,), which the method divides by (for Adam
            `curvature.adam_preconditioner`'s without its factor 1 - b1^t); ones if None.
        tol: relative error of the largest eigenvalue, proved.
        max_products: of the Hessian, at the most.
        steps: to check the answer with, at either end of the interval, a gradient each; by default
            12, with momentum 36; 0 for none.
        seed: of the random start vector.
        options: for `Hessian.of_model`.

    Raises:
        TypeError: `model` is neither; or a loss or data is missing; or an optimizer comes with a
            Hessian.
        ValueError: an argument out of its domain; an optimizer whose method is none of these, or
            that comes with a method of its own.
        FloatingPointError: a product is not finite.
    """
    used = None
    if optimizer is not None:
        check_alone(method, momentum, diagonal)
        own, options = own_method("learning_rate", optimizer, model, options)
        method, momentum, diagonal, used = own.method, own.momentum, own.diagonal, own.rate
    method = method or "gradient-descent"
    chosen = Method(method, DEFAULT_MOMENTUM.get(method, 0.9) if momentum is None else momentum)
    steps = check_steps((36 if chosen.momentum else 12) if steps is None else steps)
    with curvature_at("learning_rate", model, loss, data, options) as hessian:
        seen = hessian if diagonal is None else Preconditioned(hessian, diagonal)
        ends = lanczos(
            seen,
            ends="largest",
            tol=tol,
            relative_to="each",
            max_products=max_products,
            seed=seed,
        )
        maximal = rate(chosen.limit, ends)
        along = along_gradient(hessian, diagonal)
        below = above = None
        roughness = math.nan
        if steps and math.isfinite(maximal.high):
            below, above, roughness = checked(chosen, hessian, ends, maximal, steps, diagonal)
    optimal = rate(chosen.fastest, ends)
    return LearningRate(chosen, optimal, maximal, along, below, above, roughness, ends, used)


def check_alone(method: object, momentum: object, diagonal: object) -> None:
    """Raise ValueError on settings that an optimizer already has."""
    given = {"method": method, "momentum": momentum, "diagonal": diagonal}
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise ValueError(
            f"learning_rate(optimizer=..., {extra[0]}=...): the optimizer has its own; leave out "
            "one of the two."
        )


def rate(reach: float, ends: Extremes) -> Rate:
    """reach / lambda_max with its interval."""
    largest = ends.largest.value
    return Rate(over(reach, largest), over(reach, ends.upper), over(reach, largest - ends.rounding))


def over(reach: float, curvature: float) -> float:
    """reach / curvature, infinite where nothing is curved upwards."""
    return reach / curvature if curvature > 0 else math.inf


def along_gradient(hessian: ParameterOperator, diagonal: Tensor | None) -> float:
    """The rate that minimizes the loss's parabola along the step."""
    g = hessian.gradient
    step = g if diagonal is None else g / diagonal
    return over(float(g @ step), float(step @ (hessian @ step)))


def checked(
    method: Method,
    hessian: ParameterOperator,
    ends: Extremes,
    maximal: Rate,
    steps: int,
    diagonal: Tensor | None,
) -> tuple[Stepped, Stepped, float]:
    """Steps just below and just above the maximal rate's interval, and the roughness there."""
    direction, image = stiffest(ends, diagonal)
    roughness, reach = min(
        (roughness_at(hessian, direction, image, reach), reach) for reach in reaches(hessian.dtype)
    )
    below, above = (
        stepped(
            method,
            hessian.gradient_at,
            direction,
            lr,
            steps=steps,
            reach=reach,
            diagonal=diagonal,
        )
        for lr in ((1 - MARGIN) * maximal.low, (1 + MARGIN) * maximal.high)
    )
    return below, above, roughness


def stiffest(ends: Extremes, diagonal: Tensor | None) -> tuple[Tensor, Tensor]:
    """The direction v in which the method's steps are stiffest, of length 1, and H v.

    An eigenvector u of P^-1/2 H P^-1/2 is v = P^-1/2 u in the parameters, and H v = lambda P v.
    """
    v, weight = ends.largest.vector, torch.ones(())
    if diagonal is not None:
        weight = diagonal.to(v)
        v = v * weight.rsqrt()
        v = v / v.norm()
    return v, ends.largest.value * weight.to(v) * v


def roughness_at(
    hessian: ParameterOperator, direction: Tensor, image: Tensor, reach: float
) -> float:
    """How far the gradient's changes over a few displacements are from the Hessian's, as a share.

    With momentum the first steps swing to twice the displacement that they begin at.
    """
    changes = (
        (hessian.gradient_at(way * reach * direction) - hessian.gradient) / (way * reach)
        for way in SWINGS
    )
    return max(float((change - image).norm() / image.norm()) for change in changes)


def reaches(dtype: torch.dtype) -> list[float]:
    """Displacements to choose from: at the root of rounding, and smaller for losses with kinks."""
    return [math.sqrt(torch.finfo(dtype).eps) * 10.0**-i for i in range(4)]


def check_steps(steps: int) -> int:
    """`steps`; raises ValueError on a number that shows nothing."""
    if steps != 0 and steps < 6:
        raise ValueError(f"learning_rate(steps={steps}): give at least 6, or 0 for no check.")
    return steps
