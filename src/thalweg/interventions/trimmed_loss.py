"""A trimmed loss: the examples of a batch with the highest loss do not count.

What it changes: losses of PyTorch that are means over examples (``cross_entropy``, ``mse_loss``,
...) are, in training and from update ``after`` on, means over the 1 - ``share`` of the batch with
the lowest loss. Examples that the network cannot fit while it learns what the others have in common
are likely to be mislabeled (Shen & Sanghavi, Learning with bad training data via iterative trimmed
loss minimization, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.anatomy import plain
from thalweg.recorder.session import Call, Session

MEANS = frozenset(
    "cross_entropy nll_loss binary_cross_entropy binary_cross_entropy_with_logits mse_loss l1_loss "  # noqa: SIM905
    "smooth_l1_loss huber_loss".split()
)


@dataclass
class TrimmedLoss(Intervention):
    """Leave out the ``share`` of each batch with the highest loss, from update ``after`` on."""

    kind: ClassVar[str] = "trimmed-loss"
    changes_loss: ClassVar[bool] = True
    share: float = 0.2
    after: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InterventionError(f"trimmed-loss: share={self.share}: give a share of 0 to 1")
        if self.after < 0:
            raise InterventionError(f"trimmed-loss: after={self.after}: give 0 or more")
        self._done = False

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "share": self.share, "after": self.after}

    def started(self, session: Session) -> None:
        """Remember whose steps to count."""
        self._session = session

    def rewrite(self, call: Call) -> None:
        """Compute the loss of each example, and the mean of the lower ones."""
        if plain(call.name) not in MEANS or not torch.is_grad_enabled() or not _is_mean(call):
            return
        self._done = True
        if self._session.step >= self.after:
            call.func = trimmed(call.func, self.share)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Refuse a script whose loss is none that can be taken apart."""
        if not self._done:
            raise InterventionError(
                "trimmed-loss: the script's loss is no mean over examples that PyTorch computes, "
                "so that it cannot be taken apart from outside"
            )

    def name(self) -> str:
        """A few words for a table."""
        return f"loss without the worst {self.share:.0%}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return (
            "Check the labels of the examples with the highest loss; until then leave out the "
            f"worst {self.share:.0%} of each batch."
        )

    def edit(self) -> str:
        """A line of code."""
        return f"loss = each.sort().values[: round({1 - self.share:g} * len(each))].mean()"


def _is_mean(call: Call) -> bool:
    """Whether it is a plain mean over examples: no weights, no other reduction."""
    plainly = all(call.kwargs.get(key) is None for key in ("weight", "pos_weight", "size_average"))
    return len(call.args) <= 2 and plainly and call.kwargs.get("reduction", "mean") == "mean"


def trimmed(loss: Callable[..., torch.Tensor], share: float) -> Callable[..., torch.Tensor]:
    """The loss as a mean over all but the worst ``share`` of the examples."""

    def compute(*args: Any, **kwargs: Any) -> torch.Tensor:
        each = loss(*args, **kwargs | {"reduction": "none"})
        each = each.flatten(1).mean(1) if each.dim() > 1 else each
        kept = max(1, math.ceil((1 - share) * each.numel()))
        return each.flatten().topk(kept, largest=False).values.mean()

    return compute
