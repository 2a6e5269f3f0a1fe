r"""Nonlinear conjugate gradients: d = -g + beta d_before.

With y = g - g_before and d = d_before on the right:

    fletcher-reeves     beta = g'g / g_before'g_before
    polak-ribiere       beta = g'y / g_before'g_before
    polak-ribiere+      beta = max(that, 0)
    hestenes-stiefel    beta = g'y / d'y
    dai-yuan            beta = g'g / d'y
    hager-zhang         beta = max((y - 2 d y'y / d'y)'g / d'y,  eta),
                        eta = -1 / (|d| min(0.01, |g_before|))

On a quadratic with exact steps they are all the same, linear conjugate gradients, which end in n
steps: the directions are conjugate, d_i'A d_j = 0, so that no step undoes what another did.

A restart sets beta to zero: after n steps; where successive gradients are far from orthogonal,
|g'g_before| >= 0.2 g'g (Powell); and where d would not descend. Hager and Zhang's own needs only
the last. Their eta, made for gradients near 1, is measured in units of the first gradient here, so
that the loss's unit changes nothing.

R. Fletcher & C. Reeves (1964); E. Polak & G. Ribiere (1969); M. Hestenes & E. Stiefel (1952); Y.
Dai & Y. Yuan (1999); W. Hager & H. Zhang, *SIAM J. Optim.* 16 (2005) and *A survey of nonlinear
conjugate gradient methods* (2006); M. Powell, *Math. Program.* 12 (1977), on restarts.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.first_length import FirstLength
from thalweg.minimize.directions.settings import check_choice
from thalweg.minimize.inner_product import dot

# Powell's test of orthogonality.
ORTHOGONAL = 0.2
# Hager and Zhang's bound on beta from below.
LOWER = 0.01


@final
@dataclass(frozen=True)
class Products:
    """The inner products that the formulas are made of; `first` is |g| at the start of the run."""

    gg: float
    before: float  # g_before'g_before
    across: float  # g'g_before
    gy: float
    dy: float
    yy: float
    dg: float
    dd: float
    first: float


def hager_zhang(p: Products) -> float:
    """Their beta, truncated."""
    beta = (p.gy - 2 * p.yy * p.dg / p.dy) / p.dy
    bound = math.sqrt(p.dd) / p.first * min(LOWER, math.sqrt(p.before) / p.first)
    return max(beta, -1 / bound)


FORMULAS: dict[str, Callable[[Products], float]] = {
    "fletcher-reeves": lambda p: p.gg / p.before,
    "polak-ribiere": lambda p: p.gy / p.before,
    "polak-ribiere+": lambda p: max(p.gy / p.before, 0.0),
    "hestenes-stiefel": lambda p: p.gy / p.dy,
    "dai-yuan": lambda p: p.gg / p.dy,
    "hager-zhang": hager_zhang,
}


@final
class ConjugateGradient:
    """Nonlinear conjugate gradients.

    Args:
        formula: of beta; one of `FORMULAS`.
        restarts: whether to begin anew after n steps and by Powell's test; None for yes but with
            "hager-zhang". Directions that would not descend are never taken.

    Raises:
        ValueError: the formula is not known.

    Memory: two vectors. It wants nearly exact steps, such as the strong Wolfe conditions with a
    curvature constant of 0.1.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(self, formula: str = "polak-ribiere+", *, restarts: bool | None = None) -> None:
        check_choice("ConjugateGradient", "formula", formula, tuple(FORMULAS))
        self.name = formula
        self._restarts = formula != "hager-zhang" if restarts is None else restarts
        self._length = FirstLength()
        self._vector: Tensor | None = None  # d_before
        self._gradient: Tensor | None = None  # g_before
        self._since = 0  # steps since the last restart
        self._first = 0.0  # |g| at the start

    def propose(self, at: Place) -> Proposal:
        """-g + beta d, or -g at a restart."""
        vector, slope, self._since = self._conjugate(at.gradient)
        self._vector, self._gradient = vector, at.gradient
        return self._length.proposal(at, vector, slope)

    def moved(self, before: Place, after: Place) -> None:
        """Remember what the step met; the direction and the gradient are known from `propose`."""
        self._length.moved(before, after)

    def _conjugate(self, g: Tensor) -> tuple[Tensor, float, int]:
        """d, g'd and the steps since a restart."""
        gg = dot(g, g)
        if self._vector is not None and self._gradient is not None:
            p = products(g, self._gradient, self._vector, gg, self._first)
            if not self._is_over(p, len(g)):
                vector = -g + FORMULAS[self.name](p) * self._vector
                slope = dot(g, vector)
                if slope < 0:
                    return vector, slope, self._since + 1
        self._first = self._first or math.sqrt(gg)
        return -g, -gg, 0

    def _is_over(self, p: Products, size: int) -> bool:
        """Whether the directions so far say nothing about the next."""
        if not (p.before > 0 and p.dy > 0):
            return True
        late = self._since + 1 >= size or abs(p.across) >= ORTHOGONAL * p.gg
        return self._restarts and late

    def state_dict(self) -> dict[str, Any]:
        """The last direction and gradient, and the counts that restarts go by."""
        return {
            "vector": copied(self._vector),
            "gradient": copied(self._gradient),
            "since": self._since,
            "first": self._first,
            **self._length.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The same."""
        self._vector, self._gradient = copied(state["vector"]), copied(state["gradient"])
        self._since, self._first = int(state["since"]), float(state["first"])
        self._length.load_state_dict(state)


def products(g: Tensor, before: Tensor, d: Tensor, gg: float, first: float) -> Products:
    """The inner products of the gradient g, the one before it and the direction d before it."""
    y = g - before
    return Products(
        gg=gg,
        before=dot(before, before),
        across=dot(g, before),
        gy=dot(g, y),
        dy=dot(d, y),
        yy=dot(y, y),
        dg=dot(d, g),
        dd=dot(d, d),
        first=first,
    )


def copied(tensor: Tensor | None) -> Tensor | None:
    """A copy of a tensor; None of none."""
    return None if tensor is None else tensor.clone()
