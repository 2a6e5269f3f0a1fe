r"""A method on minibatches: one step at a time, each on the loss at hand.

Before a step the loss is evaluated where the parameters are, and all trials of the step are of the
same loss. So are both gradients of the pair that a quasi-Newton method learns from,

    s = x_new - x,      y = g(x_new; batch) - g(x; batch)

(A. Berahas, J. Nocedal & M. Takac, *A multi-batch L-BFGS method for machine learning*, 2016). What
a direction has learned is kept from one minibatch to the next.

Where the loss is the same as in the step before (a full batch), nothing is asked twice.
"""

import math
from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import Tensor

from thalweg.minimize.at_hand import AtHand, StepLoss
from thalweg.minimize.contract import Direction, LineSearch
from thalweg.minimize.counts import Counts
from thalweg.minimize.loop import Loop, Move
from thalweg.minimize.names import suited_search
from thalweg.minimize.optimizers.parameters import FlatParameters
from thalweg.minimize.searches import TrustRegion
from thalweg.minimize.status import NO_LOWER

Search = LineSearch | TrustRegion
Status = Literal["descending", "stalled", "not finite"]

# Evaluations of one step: of a search and, where it fails, of one more.
MAX_EVALUATIONS = 40


@final
class Steps:
    """Makes steps on one loss after another, and writes the parameters in place.

    Args:
        params: what is trained: leaves in float32 or wider, with at least one entry in all.
        direction: where to go.
        search: how far; None for what suits the direction.
        decay: for each parameter, the factor of |p|^2 / 2 that is added to the loss; None for 0.
        max_evaluations: of the loss with its gradient, a step.

    Attributes:
        counts: of all steps so far.
        status: how the last step ended. "descending": the parameters were moved. "stalled": no
            step that lowers the loss was found, and they are where they were. "not finite": so they
            are, since the loss or its gradient is no number there.
        why: the same in words.

    Raises:
        ValueError: a parameter has 16 bits or fewer.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        direction: Direction,
        search: Search | None = None,
        *,
        decay: Sequence[float] | None = None,
        max_evaluations: int = MAX_EVALUATIONS,
    ) -> None:
        self._params = FlatParameters(direction.name, params)
        self._loss = AtHand(self._params.layout, decay or [0.0] * len(params))
        self._direction, self._search = direction, search or suited_search(direction)
        self._max_evaluations = max_evaluations
        self._loop: Loop | None = None
        self.status: Status = "stalled"
        self.why = "no step was made"

    @property
    def counts(self) -> Counts:
        """What was asked for so far."""
        return self._loss.objective.counts

    @torch.no_grad()
    def step(self, loss: StepLoss) -> None:
        """One step on this loss.

        Raises:
            ValueError: the loss at the parameters is not what the program had there; or the
                direction needs a matrix that this loss has not.
        """
        self._loss.loss = loss
        try:
            x = self._params.read()
            if not (self._is_known(x) and self.status == "stalled"):
                self._go(self._arrived(x))
        finally:
            self._loss.loss = None
            if self._loop is not None:
                self._loop.close()

    def _go(self, loop: Loop) -> None:
        if not loop.place.finite:
            self.status, self.why = "not finite", "the loss or its gradient is no number"
        elif loop.place.size == 0:
            self.status, self.why = "stalled", "the gradient is zero"
        else:
            self._judge(loop.advance(), loop)
            self._params.settle(loop.place.x)

    def _arrived(self, x: Tensor) -> Loop:
        """The loop at `x`, on the loss at hand."""
        if self._loop is None:
            self._loop = Loop(self._loss.objective, x, self._direction, self._search, 1)
        elif not self._is_known(x):
            self._loop.evaluate_again(x)
        self._check(self._loop.place.value, self._loss.known(x))
        self._loop.max_evaluations = self.counts.losses + self._max_evaluations
        return self._loop

    def _is_known(self, x: Tensor) -> bool:
        """Whether the loop stands at `x` on the same loss already: its digits tell."""
        if self._loop is None or not torch.equal(self._loop.place.x, x):
            return False
        return self._loop.place.value == self._loss.known(x)

    def _check(self, value: float, known: float) -> None:
        """Raise ValueError unless the loss is the program's, but for rounding."""
        kind = torch.finfo(self._params.layout.dtype)
        rounding = math.sqrt(kind.eps)
        if math.isfinite(known) and not math.isclose(
            value, known, rel_tol=rounding, abs_tol=kind.tiny
        ):
            raise ValueError(
                f"the step played again gives {value:.9g}, the program had {known:.9g}"
            )

    def _judge(self, move: Move, loop: Loop) -> None:
        if move.alpha:
            self.status, self.why = "descending", f"the loss is {loop.place.value:.6g}"
        else:
            self.status, self.why = "stalled", ENDINGS[move.status]


ENDINGS = {
    "satisfied": NO_LOWER,
    "rounding": NO_LOWER,
    "budget": "no lower loss was found within the evaluations of one step",
    "not finite": "the loss is no number wherever the step could go",
    "not descending": "the loss does not fall along the negative gradient",
}
