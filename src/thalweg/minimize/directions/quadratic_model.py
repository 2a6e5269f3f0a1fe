r"""The quadratic model of a direction, m(d) = g'd + d'Bd / 2, and how far it was right.

    ratio  =  (f(x) - f(x + s)) / (m(0) - m(s)),       s = alpha d the step that was taken

1 where the model was right, below 0 where the loss rose. Near a minimum both changes drown in the
rounding of f, and their quotient says nothing; adding that rounding to both draws it to 1 there
(A. Conn, N. Gould & P. Toint, *Trust-Region Methods*, 2000, section 17.4.2).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.products import dot, length
from thalweg.minimize.contract import Place, Proposal
from thalweg.operators import Operator

# Units of rounding of the loss that a change of it must exceed to be one.
ROUNDING_UNITS = 10


@final
@dataclass(frozen=True)
class Promise:
    """What the model says of the steps alpha d along one direction.

    Attributes:
        slope: g'd.
        curvature: d'Bd.
        size: |d|.
    """

    slope: float
    curvature: float
    size: float

    @classmethod
    def of(cls, proposal: Proposal) -> "Promise":
        """Of a proposal with a model."""
        return cls(proposal.slope, proposal.curvature or 0.0, length(proposal.vector))

    @property
    def bend(self) -> float:
        """d'Bd / d'd; 0 for d = 0."""
        return self.curvature / self.size**2 if self.size else 0.0

    def change(self, alpha: float) -> float:
        """m(alpha d) - m(0)."""
        return alpha * self.slope + alpha**2 * self.curvature / 2

    def taken(self, before: Place, after: Place) -> float:
        """The alpha, at least 0, of the step from one place to the other."""
        return length(after.x - before.x) / self.size if self.size else 0.0

    def ratio(self, before: Place, after: Place) -> float:
        """The loss's change over the promised one; see the module."""
        rounding = ROUNDING_UNITS * torch.finfo(before.x.dtype).eps * abs(before.value)
        promised = rounding - self.change(self.taken(before, after))
        found = rounding + before.value - after.value
        if promised > 0:
            return found / promised
        return 1.0 if found >= promised else -math.inf


def saved(promise: Promise | None) -> dict[str, float] | None:
    """A promise for a direction's `state_dict`; a step may lie ahead that it will be held to."""
    return None if promise is None else asdict(promise)


def restored(state: Mapping[str, float] | None) -> Promise | None:
    """The promise that `saved` wrote down."""
    return None if state is None else Promise(**state)


def proposed(
    vector: Tensor, gradient: Tensor, *, curvature: float | None = None, first: float = 1.0
) -> Proposal:
    """The proposal of d = `vector`; `curvature` None where B d = -g, so that d'Bd = -g'd."""
    slope = dot(gradient, vector)
    return Proposal(
        vector=vector,
        slope=slope,
        length=first,
        curvature=-slope if curvature is None else curvature,
    )


def curvature_along(model: Operator, vector: Tensor) -> float:
    """v'Bv / v'v, for one product; 0 for v = 0."""
    size = length(vector)
    return dot(vector, model @ vector) / size**2 if size else 0.0


def combined(
    model: Operator,
    gradient: Tensor,
    directions: Sequence[Tensor],
    damping: float,
    weights: Sequence[float | None] = (),
) -> tuple[Tensor, float]:
    """The d in the span of `directions` that minimizes g'd + d'(B + damping I)d / 2, and d'Bd.

    Args:
        model: B.
        gradient: g, shape (n,).
        directions: each of shape (n,).
        damping: at least 0.
        weights: of the directions, None for those to be found; all are by default.

    Costs a product for each direction that is not zero. J. Martens & R. Grosse (arXiv 1503.05671),
    sections 6.4 and 7, take the step and its momentum from it.
    """
    weights = weights or [None] * len(directions)
    pairs = [pair for pair in zip(directions, weights, strict=True) if bool(pair[0].any())]
    free = [each for each, weight in pairs if weight is None]
    found = sum((w * each for each, w in pairs if w is not None), torch.zeros_like(gradient))
    if not found.any():
        return in_span(model, gradient, free, damping)
    pushed = model @ found
    added, curvature = in_span(model, gradient + pushed + damping * found, free, damping)
    return found + added, dot(found + 2 * added, pushed) + curvature


def in_span(
    model: Operator, gradient: Tensor, directions: Sequence[Tensor], damping: float
) -> tuple[Tensor, float]:
    """`combined` for directions of which none is zero and no weight is given."""
    if not directions:
        return torch.zeros_like(gradient), 0.0
    columns = torch.stack([each / length(each) for each in directions], 1)
    wide = columns.double()
    inner = wide.T @ (model @ columns).double()
    damped = (inner + inner.T) / 2 + damping * wide.T @ wide
    weights = -torch.linalg.pinv(damped, hermitian=True) @ (wide.T @ gradient.double())
    return (wide @ weights).to(gradient.dtype), float(weights @ inner @ weights)
