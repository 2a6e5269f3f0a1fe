r"""What a run is to find at the ends of a spectrum, and whether it has.

Two errors go with a Ritz pair (theta, y) of residual r. That some eigenvalue lies within |r| of
theta is a fact. For an eigenvalue that stands alone the distance is much smaller (G. Temple, *Proc.
R. Soc. A* 119, 1928; T. Kato, *J. Phys. Soc. Japan* 4, 1949):

    |lambda - theta| <= |r|^2 / gap,     gap: from theta to the rest of the spectrum,

so a run that waits for |r| waits for twice the digits that were asked for. But that an eigenvalue
stands alone no run can know: two of them nearer to each other than |r| look like one between them,
whose residual is |r|. Hence the second is called likely, and never proved; the gap is taken to the
intervals that the residuals leave to the neighbouring Ritz values.
"""

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from thalweg.linalg.krylov import Krylov, Ritz

RelativeTo = Literal["largest", "each"]
Accept = Literal["proved", "likely"]


@final
@dataclass(frozen=True)
class Wanted:
    """How many eigenvalues are wanted at either end.

    Attributes:
        top: of the largest.
        bottom: of the smallest; not both are 0.
    """

    top: int
    bottom: int

    @property
    def results(self) -> int:
        """Pairs that a result holds: where none is wanted, the one at that end that was seen."""
        return max(self.top, 1) + max(self.bottom, 1)

    def among(self, of_all: Tensor) -> Tensor:
        """The wanted of what belongs to the Ritz values, ascending, (m,); `fit` must hold."""
        return torch.cat([of_all[: self.bottom], of_all[len(of_all) - self.top :]])

    def fit(self, dimension: int) -> bool:
        """Whether a space of so many dimensions has as many values at either end."""
        return dimension >= max(self.top, self.bottom)


@final
@dataclass(frozen=True)
class Goal:
    """How well they are wanted.

    Attributes:
        wanted: which eigenvalues.
        tol: the error allowed, as a share of what `relative_to` says.
        relative_to: "largest": the largest eigenvalue by absolute value; "each": the eigenvalue.
        accept: which error is meant: the "proved" or the "likely" one.
    """

    wanted: Wanted
    tol: float
    relative_to: RelativeTo
    accept: Accept


def is_reached(goal: Goal, ritz: Ritz, *, floor: float = 0.0) -> bool:
    """Whether every wanted error is within the tolerance, or at most `floor`."""
    if not goal.wanted.fit(len(ritz.values)):
        return False
    return bool((errors(goal, ritz) <= allowed(goal, ritz).clamp_min(floor)).all())


def allowed(goal: Goal, ritz: Ritz) -> Tensor:
    """The error allowed to each wanted value."""
    sizes = ritz.values.abs()
    scale = sizes if goal.relative_to == "each" else sizes.max().expand_as(sizes)
    return goal.tol * goal.wanted.among(scale)


def errors(goal: Goal, ritz: Ritz) -> Tensor:
    """The errors of the wanted values, of the kind that the goal accepts."""
    return goal.wanted.among(ritz.errors if goal.accept == "proved" else likely_errors(ritz))


def likely_errors(ritz: Ritz) -> Tensor:
    """Kato and Temple's error of each Ritz value, at most the proved one; shape (m,)."""
    gap = gaps(ritz)
    isolated = (gap > ritz.residuals) & gap.isfinite()
    squared = ritz.residuals * (ritz.residuals / gap)
    return torch.where(isolated, squared, ritz.residuals) + ritz.rounding


def gaps(ritz: Ritz) -> Tensor:
    """From each Ritz value to the nearest point that its neighbours' residuals allow; (m,)."""
    none = ritz.values.new_full((1,), math.inf)
    apart = ritz.values.diff()
    below = torch.cat([none, apart - ritz.residuals[:-1]])
    above = torch.cat([apart - ritz.residuals[1:], none])
    return torch.minimum(below, above)


def is_deep_enough(krylov: Krylov) -> bool:
    """Whether the space is deep enough to have seen a lone eigenvalue.

    A random start holds about 1/sqrt(n) of any one eigenvector, and an outlier that carries so
    little leaves the first residuals small. It takes a number of steps logarithmic in n to grow.
    """
    return krylov.products >= 2 + math.log(krylov.operator.size)


def same_ends(wanted: Wanted, ritz: Ritz, earlier: Ritz) -> bool:
    """Whether a further closed block left the wanted values as they were."""
    if not wanted.fit(len(earlier.values)):
        return False
    drift = (wanted.among(ritz.values) - wanted.among(earlier.values)).abs().max()
    return float(drift) <= 2 * float(ritz.errors.max())
