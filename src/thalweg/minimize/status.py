"""How a run ended, and what it hands back."""

from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from thalweg.minimize.counts import Counts

Status = Literal["converged", "saddle", "stalled", "out of budget", "not finite"]
Kind = Literal["start", "direction", "fallback", "escape"]

# Why a method goes no further, in words.
NO_LOWER = "no step lowers the loss by more than its rounding"
NO_NUMBER = "no step from here has a loss that is a finite number"


def share_of_gradient(size: float, scale: float) -> str:
    """How large a gradient is beside that at the start, |g|_inf each, in words."""
    return f"the gradient is {size / scale if scale else size:.2g} of that at the start"


@final
@dataclass(frozen=True)
class Record:
    """One step of a run.

    Attributes:
        step: its number, from 1; 0 is the start.
        value: the loss after it.
        gradient: the largest entry of the gradient there, in size.
        alpha: the step's length in the direction's own measure; 0 where there was none.
        evaluations: of the loss, up to here.
        kind: "direction", "fallback" (along the negative gradient), "escape" (away from a saddle),
            or "start".
    """

    step: int
    value: float
    gradient: float
    alpha: float
    evaluations: int
    kind: Kind


@final
@dataclass(frozen=True, eq=False)
class Result:
    """Where a run ended, and why; x, value and gradient belong together.

    Attributes:
        x: the point, of x0's shape.
        value: the loss there.
        gradient: its gradient there, of x0's shape.
        status: "converged": a critical point within the tolerance, and no saddle as far as was
            asked (`why` says how far). "saddle": a critical point from which the loss falls along
            `escape`. "stalled": no step lowers the loss any more, though the gradient is not small.
            "out of budget": the evaluations are spent. "not finite": the loss or its gradient is
            infinite or no number wherever the run could go on. In the last three x is the best
            point so far, which only a search that lets the loss rise ever leaves.
        why: the same in a sentence, with the numbers.
        counts: what the run asked for.
        history: the steps, the start first.
        curvature: v'Hv of the unit vector v with the least curvature seen at x; None where the
            Hessian was not asked.
        escape: a unit vector of x0's shape along which the loss falls, if this is a saddle.
    """

    x: Tensor
    value: float
    gradient: Tensor
    status: Status
    why: str
    counts: Counts
    history: tuple[Record, ...]
    curvature: float | None = None
    escape: Tensor | None = None

    @property
    def converged(self) -> bool:
        """Whether the status is "converged"."""
        return self.status == "converged"

    def __repr__(self) -> str:
        """Status, value and costs on one line."""
        return (
            f"<{self.status}: f = {self.value:.6g} after {self.counts.losses} evaluations and "
            f"{self.counts.products} products; {self.why}>"
        )
