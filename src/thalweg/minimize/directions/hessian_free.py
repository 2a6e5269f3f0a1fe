r"""Hessian-free optimization: many steps of CG on the damped Gauss-Newton model, used well.

    (B + lambda I) d = -g

* B is the Gauss-Newton matrix, positive semidefinite where the loss is convex in the outputs, so CG
  does not break down.
* CG stops when the model's value falls too slowly (`directions.truncated_cg`), and starts from a
  share of where it ended for the step before.
* Of the iterates on its way the one with the lowest loss is taken, looked for from the last back.
* lambda follows the reduction ratio, by 2/3 and 3/2; the ratio is of the model without damping.

J. Martens, *Deep learning via Hessian-free optimization* (2010), without its preconditioner; J.
Martens & I. Sutskever, in *Neural Networks: Tricks of the Trade* (2012), on the ratio and the decay
of the start.

Cost: a product for each step of CG, and some losses to look back. Memory: that of `truncated_cg`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from torch import Tensor

from thalweg.linalg.products import dot
from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.damping import first_damping, thresholds
from thalweg.minimize.directions.models import Asked, gauss_newton_model
from thalweg.minimize.directions.quadratic_model import (
    Promise,
    curvature_along,
    proposed,
    restored,
    saved,
)
from thalweg.minimize.directions.settings import check_count, check_positive, check_share
from thalweg.minimize.directions.truncated_cg import Iterate, truncated_cg
from thalweg.operators import Operator

LossAt = Callable[[Tensor], float]


def hessian_free_step(
    model: Operator,
    gradient: Tensor,
    *,
    damping: float,
    start: Tensor | None = None,
    loss_of: LossAt | None = None,
    progress: float = 5e-4,
    max_steps: int = 250,
) -> tuple[Proposal, Tensor]:
    """The step, and where CG ended, for the next step's start.

    Args:
        model: B.
        gradient: g, not zero, shape (n,).
        damping: lambda.
        start: of CG, shape (n,); None for zero.
        loss_of: the loss after a step d, to look back for the lowest; None takes the last iterate.
        progress, max_steps: of CG.
    """
    trail = truncated_cg(
        model, -gradient, damping=damping, start=start, progress=progress, max_steps=max_steps
    )
    downhill = [each for each in trail if dot(gradient, each.x) < 0]
    if not downhill and start is not None:  # the start led up, and CG had no time to mend it
        return hessian_free_step(
            model,
            gradient,
            damping=damping,
            loss_of=loss_of,
            progress=progress,
            max_steps=max_steps,
        )
    if not downhill:
        bend = curvature_along(model, gradient) * dot(gradient, gradient)
        return proposed(-gradient, gradient, curvature=bend), -gradient
    chosen = downhill[-1] if loss_of is None else lowest(downhill, loss_of)
    return proposed(chosen.x, gradient, curvature=chosen.curvature), trail[-1].x


def lowest(trail: Sequence[Iterate], loss_of: LossAt) -> Iterate:
    """From the last iterate back while the loss falls, or is no number."""
    best, least = trail[-1], loss_of(trail[-1].x)
    for earlier in reversed(trail[:-1]):
        value = loss_of(earlier.x)
        if math.isfinite(least) and not value < least:
            break
        best, least = earlier, value
    return best


@final
class HessianFree:
    """Hessian-free optimization with Gauss-Newton products.

    Args:
        loss: from a flat point, shape (n,), to the loss there, the same as is minimized; CG's
            iterates are compared by it. None takes CG's last iterate.
        damping: lambda at the start, as a share of the curvature along the first gradient.
        decay: the share of CG's last end that it starts from; 0 starts from zero.
        progress: CG stops where it falls by less than this share for each step.
        max_steps: of CG.

    Attributes:
        damping: lambda of the next step; None before the first.
        evaluations: of `loss`, so far.

    Raises:
        ValueError: a setting out of its domain.
    """

    name = "hessian-free"
    needs: frozenset[Need] = frozenset({"gauss-newton"})

    def __init__(
        self,
        loss: Callable[[Tensor], Tensor | float] | None = None,
        *,
        damping: float = 0.1,
        decay: float = 0.95,
        progress: float = 5e-4,
        max_steps: int = 250,
    ) -> None:
        check_positive(type(self).__name__, "damping", damping)
        check_share(type(self).__name__, "decay", decay or None)
        check_share(type(self).__name__, "progress", progress)
        check_count(type(self).__name__, "max_steps", max_steps)
        self.loss, self.share, self.decay = loss, damping, decay
        self.progress, self.max_steps = progress, max_steps
        self.damping: float | None = None
        self.evaluations = 0
        self._end: Tensor | None = None
        self._promise: Promise | None = None

    def model(self) -> Asked:
        """B, the Gauss-Newton matrix; the radius takes the damping's place."""
        return gauss_newton_model()

    def propose(self, at: Place) -> Proposal:
        """The step by CG."""
        model = at.gauss_newton()
        self.damping = self.damping or first_damping(model, at.gradient, self.share)
        proposal, self._end = hessian_free_step(
            model,
            at.gradient,
            damping=self.damping,
            start=None if self._end is None or not self.decay else self.decay * self._end,
            loss_of=None if self.loss is None else lambda d: self._loss_of(at.x + d),
            progress=self.progress,
            max_steps=self.max_steps,
        )
        self._promise = Promise.of(proposal)
        return proposal

    def moved(self, before: Place, after: Place) -> None:
        """The next damping."""
        if self._promise is not None and self.damping is not None:
            ratio = self._promise.ratio(before, after)
            self.damping = thresholds(self.damping, ratio, self._promise.bend)

    def state_dict(self) -> dict[str, Any]:
        """The damping, where CG ended, and what the last step promised."""
        end = None if self._end is None else self._end.clone()
        return {"damping": self.damping, "end": end, "promise": saved(self._promise)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this direction."""
        self.damping, end = state["damping"], state["end"]
        self._end = None if end is None else end.clone()
        self._promise = restored(state["promise"])

    def _loss_of(self, x: Tensor) -> float:
        """The loss at x; called only where there is one."""
        self.evaluations += 1
        return math.inf if self.loss is None else float(self.loss(x))
