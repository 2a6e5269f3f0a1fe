r"""How far to try first along a direction whose length says nothing.

At the start a step of some hundredths of |x|; of length 1 where x is zero. After that, the step
that would gain twice what the last one gained if the loss were a parabola along it,

    alpha = 2 (f_{k-1} - f_k) / -phi'(0)         (Nocedal & Wright, 2006, eq. 3.60)

Both are the same for a loss in any unit. What such a direction may promise is judged by the size of
the curvature that the last step met, y'y / s'y with y the change of the gradient over the step s.
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
        self._curvature = 0.0

    def proposal(self, at: Place, vector: Tensor, slope: float) -> Proposal:
        """To go along `vector`, with the alpha to try first."""
        if self._decrease > 0 and slope < 0:
            alpha = 2 * self._decrease / -slope
        else:
            alpha = first_step(at.x, vector)
        curvature = self._curvature * dot(vector, vector)
        return Proposal(vector, slope, alpha, curvature or None)

    def moved(self, before: Place, after: Place) -> None:
        """Remember what the step met."""
        self._decrease = before.value - after.value
        taught = pair(before, after)
        self._curvature = dot(taught.y, taught.y) / abs(taught.sy) if taught.sy else 0.0

    def state_dict(self) -> dict[str, Any]:
        """The last decrease and curvature."""
        return {"decrease": self._decrease, "curvature": self._curvature}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The last decrease and curvature."""
        self._decrease, self._curvature = float(state["decrease"]), float(state["curvature"])


def first_step(x: Tensor, vector: Tensor) -> float:
    """The alpha of a run's first step along `vector`; 0 if it is zero."""
    size = length(vector)
    return (SHARE * length(x) or 1.0) / size if size else 0.0
