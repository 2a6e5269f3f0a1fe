r"""The quadratic model of a direction, m(d) = g'd + d'Bd / 2, and how far it was right.

    ratio  =  (f(x) - f(x + s)) / (m(0) - m(s)),       s = alpha d the step that was taken

1 where the model was right, below 0 where the loss rose. Near a minimum both changes drown in the
rounding of f, and their quotient says nothing; adding that rounding to both draws it to 1 there
(A. Conn, N. Gould & P. Toint, *Trust-Region Methods*, 2000, section 17.4.2).
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.curvature import Operator
from thalweg.linalg.products import dot, length
from thalweg.minimize.contract import Place, Proposal

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
