"""The quadratic model m(d) = g'd + d'Bd/2 of a trust region, and its radius."""

import math

from torch import Tensor

from thalweg.linalg.products import Shifted, dot, length
from thalweg.minimize.contract import TrialStep
from thalweg.operators import Operator


def posed(call: str, model: Operator, gradient: Tensor, radius: float) -> Shifted:
    """Products with B, counted and checked, for a problem that makes sense.

    Raises:
        TypeError: B is not an Operator, or the gradient of another dtype.
        ValueError: shapes do not fit, the radius is not a positive number, or the gradient is not
            finite.
    """
    if not isinstance(model, Operator):
        raise TypeError(
            f"{call}.step(model, gradient, radius): model is a {type(model).__name__}; give an "
            "Operator such as Hessian, GaussNewton or Matrix."
        )
    if gradient.shape != (model.size,):
        raise ValueError(
            f"{call}.step(model, gradient, radius): {model.name} is {model.size} x {model.size}, "
            f"the gradient of shape {tuple(gradient.shape)}; give one of shape ({model.size},)."
        )
    if gradient.dtype != model.dtype:
        raise TypeError(
            f"{call}.step(model, gradient, radius): {model.name} is {model.dtype}, the gradient "
            f"{gradient.dtype}; convert it: gradient.to({model.dtype})."
        )
    if not 0 < radius < math.inf:
        raise ValueError(f"{call}.step(radius={radius}): give a positive length.")
    if not math.isfinite(length(gradient)):
        raise ValueError(f"{call}.step(gradient): it is not finite; step from where it is.")
    return Shifted(model, 0.0)


def decrease(gradient: Tensor, step: Tensor, product: Tensor) -> float:
    """-m(d), given B d; at least 0, which no step needs to undercut."""
    return max(-(dot(gradient, step) + dot(step, product) / 2), 0.0)


def nowhere(gradient: Tensor, products: int) -> TrialStep:
    """The step of length zero, where the model has no way down that was seen."""
    return TrialStep(gradient.new_zeros(gradient.shape), 0.0, False, products)


def to_boundary(step: Tensor, towards: Tensor, radius: float) -> float:
    """tau >= 0 with |d + tau p| = radius, for |d| <= radius.

    The root that does not cancel: of a tau^2 + 2 b tau = c with a = p'p, b = d'p, c = radius^2 -
    d'd.
    """
    a, b = dot(towards, towards), dot(step, towards)
    inside = length(step)
    c = max((radius - inside) * (radius + inside), 0.0)
    root = math.sqrt(b * b + a * c)
    return c / (b + root) if b > 0 else (root - b) / a
