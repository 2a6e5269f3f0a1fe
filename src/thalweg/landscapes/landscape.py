"""A loss of known truth: its formula, and what is known about it without running anything.

A landscape is called on points and keeps, beside its formula, the facts that tests, lectures and
pictures rely on: its smallest value and where it is taken, its critical points with the curvatures
there, where to start, and what part of it is worth looking at. All points are float64 tensors; the
formula itself keeps the dtype and the device of what it is given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]
Kind = Literal["minimum", "saddle", "maximum"]


@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """A point where the gradient is zero.

    Attributes:
        at: The point, of shape (n,).
        kind: `minimum` if nothing around it is lower, `maximum` if nothing is higher, else
            `saddle`, whether or not the Hessian shows it.
        curvatures: The eigenvalues of the Hessian there, ascending, of shape (n,).
    """

    at: Tensor
    kind: Kind
    curvatures: Tensor


@dataclass(frozen=True, eq=False)
class Landscape:
    """A loss of `dimension` parameters with what is known about it.

    Attributes:
        name: What it is called.
        loss: The formula, from points of shape (..., n) to values of shape (...).
        start: Where runs start, of shape (n,).
        domain: The box worth looking at: (low, high) for each coordinate.
        minimum: The smallest value.
        critical_points: If the minimizers are isolated, all critical points in the domain;
            otherwise some of each kind.
        isolated: Whether the minimizers are single points. If not, those listed belong to a
            continuum (a valley floor on which the loss is constant).
    """

    name: str
    loss: Loss
    start: Tensor
    domain: tuple[tuple[float, float], ...]
    minimum: float
    critical_points: tuple[CriticalPoint, ...]
    isolated: bool = True

    def __call__(self, w: Tensor) -> Tensor:
        """The loss at points.

        Args:
            w: Points of shape (..., n).

        Returns:
            The values, of shape (...).

        Raises:
            ValueError: The last dimension of `w` is not n.
        """
        if w.shape[-1:] != self.start.shape:
            raise ValueError(
                f"{self.name}(w): w has shape {tuple(w.shape)}, and the points of this landscape "
                f"have {self.dimension} coordinates. Give a tensor of shape (..., {self.dimension})"
            )
        return self.loss(w)

    @property
    def dimension(self) -> int:
        """How many parameters the loss has: n."""
        return len(self.start)

    @property
    def minimizers(self) -> Tensor:
        """The points that take the smallest value, of shape (k, n)."""
        minima = [c.at for c in self.critical_points if c.kind == "minimum"]
        return torch.stack([w for w in minima if self.is_lowest(w)])

    def is_lowest(self, w: Tensor) -> bool:
        """Whether a minimum is as low as the lowest, up to rounding."""
        excess = float(self(w)) - self.minimum
        return excess <= 1e-9 * max(1.0, abs(self.minimum))

    def gradient(self, w: Tensor) -> Tensor:
        """The gradient at points of shape (..., n), in the same shape."""
        return functional(torch.func.grad(lambda x: self(x).sum())(w))

    def hessian(self, w: Tensor) -> Tensor:
        """The Hessian at one point of shape (n,), of shape (n, n)."""
        return functional(torch.func.jacrev(torch.func.grad(self))(w))


def functional(value: Any) -> Tensor:
    """What a transform of `torch.func` returned, with the type that it has here."""
    if not isinstance(value, Tensor):
        raise TypeError(f"a loss must return a tensor; its derivative is {type(value).__name__}")
    return value


def point(*coordinates: float) -> Tensor:
    """A point of a landscape, as it is kept: float64, of shape (n,)."""
    return torch.tensor(coordinates, dtype=torch.float64)


def critical(kind: Kind, at: Tensor, *curvatures: float) -> CriticalPoint:
    """A critical point; the curvatures in any order."""
    return CriticalPoint(at, kind, point(*sorted(curvatures)))
