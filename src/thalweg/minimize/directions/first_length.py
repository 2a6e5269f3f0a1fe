r"""How far to try first along a direction whose length says nothing.

At the start a step of some hundredths of |x|; of length 1 where x is zero. After that the shorter
of two: the step that would gain twice what the last one gained if the loss were a parabola along
it, and the one to that parabola's minimum if its curvature were the last one's,

    alpha = 2 (f_{k-1} - f_k) / -phi'(0)            (Nocedal & Wright, 2006, eq. 3.60)
    alpha = -phi'(0) / d'd  s's / s'y               (J. Barzilai & J. Borwein, 1988)

with y the change of the gradient over the step s. The first alone is far too long where the slope
has fallen much, as it does after exact steps; the second wherever the last step met little
curvature. Neither depends on the loss's unit. What such a direction may promise is judged by the
size of the curvature that the last step met, y'y / s'y.
"""

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from thalweg.minimize.contract import Place, Proposal
from thalweg.minimize.directions.pair import pair
from thalweg.minimize.inner_product import dot, length

# Of |x|, the first step of a run.
SHARE = 0.03


@final
class FirstLength:
    """Keeps the last decrease, and the curvature that the last step met."""

    def __init__(self) -> None:
        self._decrease = 0.0
        self._curvature = 0.0  # y'y / s'y
        self._along = 0.0  # s'y / s's

    def proposal(self, at: Place, vector: Tensor, slope: float) -> Proposal:
        """To go along `vector`, with the alpha to try first."""
        square = dot(vector, vector)
        lengths = []
        if self._decrease > 0 and slope < 0:
            lengths.append(2 * self._decrease / -slope)
        if self._along * square > 0 and slope < 0:
            lengths.append(-slope / (self._along * square))
        alpha = min(lengths) if lengths else first_step(at.x, vector)
        return Proposal(vector, slope, alpha, self._curvature * square or None)

    def moved(self, before: Place, after: Place) -> None:
        """Remember what the step met."""
        self._decrease = before.value - after.value
        taught = pair(before, after)
        self._curvature = dot(taught.y, taught.y) / abs(taught.sy) if taught.sy else 0.0
        self._along = taught.sy / dot(taught.s, taught.s) if taught.sy > 0 else 0.0

    def state_dict(self) -> dict[str, Any]:
        """The last decrease and curvatures."""
        return {"decrease": self._decrease, "curvature": self._curvature, "along": self._along}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The last decrease and curvatures."""
        self._decrease, self._curvature = float(state["decrease"]), float(state["curvature"])
        self._along = float(state["along"])


def first_step(x: Tensor, vector: Tensor) -> float:
    """The alpha of a run's first step along `vector`; 0 if it is zero."""
    size = length(vector)
    return (SHARE * length(x) or 1.0) / size if size else 0.0
