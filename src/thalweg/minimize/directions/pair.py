r"""What a step teaches of the curvature: s = x_after - x_before and y = g_after - g_before.

A mean Hessian over the step maps s to y. Quasi-Newton matrices that stay positive definite need
s'y > 0, not as a number but against the sizes of the two:

    s'y  >  share |s| |y|

A loss times 1e-8 has an s'y times 1e-8 and the same cosine.

Powell's damping keeps a pair that fails, turned toward what the matrix B knew before:

    y~ = theta y + (1 - theta) B s,     theta = 0.8 s'Bs / (s'Bs - s'y)  where  s'y < 0.2 s'Bs

so that s'y~ = 0.2 s'Bs. After a step s = alpha d along the matrix's own direction d = -B^-1 g, B s
is -alpha g: it costs nothing.

M. Powell, *Algorithms for nonlinear constraints that use Lagrangian functions* (1978); J. Nocedal &
S. Wright, *Numerical Optimization* (2006), procedure 18.2.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.minimize.contract import Place
from thalweg.minimize.inner_product import dot, length

# The least cosine of s and y that a pair may have, in units of rounding.
CURVED = 8

# Powell's share of the old curvature that is kept at least.
KEPT = 0.2


@final
@dataclass(frozen=True, eq=False)
class Pair:
    """A step s and the change y of the gradient along it, shape (n,) each, with s'y."""

    s: Tensor
    y: Tensor
    sy: float

    @property
    def sizes(self) -> "Sizes":
        """The inner products."""
        eps = torch.finfo(self.s.dtype).eps
        return Sizes(dot(self.s, self.s), self.sy, dot(self.y, self.y), eps)


@final
@dataclass(frozen=True)
class Sizes:
    """Of a pair: s's, s'y, y'y, and the unit of rounding of its entries."""

    ss: float
    sy: float
    yy: float
    eps: float


def is_curved(pair: Sizes) -> bool:
    """Whether a pair's curvature is positive beyond the rounding of s'y."""
    share = CURVED * pair.eps
    return pair.sy > 0 and pair.sy > share * math.sqrt(pair.ss) * math.sqrt(pair.yy)


def pair(before: Place, after: Place) -> Pair:
    """What the step between two places teaches."""
    s, y = after.x - before.x, after.gradient - before.gradient
    return Pair(s, y, dot(s, y))


def expected(s: Tensor, g: Tensor, hg: Tensor) -> Tensor:
    """B s of a step along d = -H g, which is -alpha g; zero where H g is."""
    size = length(hg)
    return -(length(s) / size if size else 0.0) * g


def damped(taught: Pair, bs: Tensor) -> Pair:
    """Powell's damping of a pair with `bs` = B s, (n,); the pair itself if it is curved enough."""
    sbs = dot(taught.s, bs)
    if not sbs > 0 or taught.sy >= KEPT * sbs:
        return taught
    theta = (1 - KEPT) * sbs / (sbs - taught.sy)
    y = theta * taught.y + (1 - theta) * bs
    return Pair(taught.s, y, dot(taught.s, y))
