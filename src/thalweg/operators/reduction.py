"""What a loss does over its batch, read from the loss itself.

A mean over a batch enters the mean over all the data with the weight of what it was taken over.
That is the number of samples; for cross entropy over classes it is the total weight of the targets
that count, since PyTorch divides by that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

Reduction = Literal["mean", "sum"]

CROSS_ENTROPIES = (F.cross_entropy, F.nll_loss, nn.CrossEntropyLoss, nn.NLLLoss)


def reduction_of(loss: Any) -> Reduction:
    """What `loss` says it does over a batch; "mean" where it says nothing.

    Raises:
        ValueError: it says something else than "mean" or "sum".
    """
    found = option(loss, "reduction", "mean")
    if found not in ("mean", "sum"):
        raise ValueError(
            f"loss has reduction={found!r}: give a loss that is a scalar, reduction='mean' or "
            "'sum'; or wrap it in a function and pass reduction= to say what that does."
        )
    return found  # type: ignore[no-any-return]


def counter_of(loss: Any) -> Callable[[Tensor], float] | None:
    """From targets to what `loss` divides by, where that is known not to be their length."""
    kind = loss.func if isinstance(loss, partial) else loss
    if kind not in CROSS_ENTROPIES and type(kind) not in CROSS_ENTROPIES:
        return None
    weight, ignored = option(loss, "weight", None), option(loss, "ignore_index", -100)
    return partial(counted, weight=weight, ignored=ignored)


def counted(targets: Tensor, weight: Tensor | None, ignored: int) -> float:
    """The total weight of the targets that count: classes, or probabilities along axis 1."""
    if targets.is_floating_point():
        return targets.numel() / targets.shape[1 if targets.dim() > 1 else 0]
    kept = targets[targets != ignored]
    return float(kept.numel() if weight is None else weight[kept].sum())


def option(loss: Any, name: str, default: Any) -> Any:
    """A setting of a loss: a keyword of a `functools.partial`, or an attribute."""
    if isinstance(loss, partial):
        return loss.keywords.get(name, option(loss.func, name, default))
    return getattr(loss, name, default)
