"""Whether a gradient that an update has already used is still in the sum when the next one comes.

After an update the gradients of a few parameters are remembered by identity and version. They have
been cleared when, before some later backward pass, they are gone, replaced or all zero. A step is
stale if its optimizer's gradients never were: exact, and silent for gradient accumulation (cleared
once, summed on purpose) and for adversarial pairs (another network's gradients pass by in between).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from thalweg.recorder.leaves import trained_by

LOOKED_AT = 4


class Staleness:
    """Follows the gradients of every optimizer from update to update."""

    def __init__(self) -> None:
        self._used: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._versions: dict[int, int] = {}
        self._by_hand = False

    def look(self, optimizers: Sequence[Any], leaves: Sequence[torch.Tensor] = ()) -> None:
        """A backward pass begins: forget the gradients that have been cleared.

        ``leaves`` are given by a program that updates them by hand: their gradients are stale if
        the leaves have been written to since the gradients came, and the gradients are still there.
        """
        self._by_hand = any(
            leaf._version > self._versions.get(id(leaf), leaf._version) and _nonzero(leaf.grad)
            for leaf in leaves
        )
        self._versions = {id(leaf): leaf._version for leaf in leaves}
        for optimizer in optimizers:
            pairs = self._used.get(id(optimizer))
            if pairs:
                self._used[id(optimizer)] = [pair for pair in pairs if _still_there(*pair)]

    def stepped(self, optimizer: Any) -> bool:
        """An update was made: whether it used gradients of an earlier one."""
        if optimizer is None:
            return self._by_hand
        stale = bool(self._used.get(id(optimizer)))
        params = trained_by([optimizer])
        with_gradient = [p for p in params if p.grad is not None and not p.grad.is_sparse]
        self._used[id(optimizer)] = [
            (p, p.grad) for p in with_gradient[:LOOKED_AT] if bool(p.grad.count_nonzero())
        ]
        return stale


class Unused:
    """The gradients that came since the last update, and whether the program threw them away.

    A step that a gradient scaler skips, and a backward pass for another purpose than training, end
    in gradients that are cleared before an update has used them.
    """

    def __init__(self) -> None:
        self._came: list[tuple[torch.Tensor, torch.Tensor]] = []

    def remember(self, optimizers: Sequence[Any]) -> None:
        """A backward pass has ended."""
        with_gradient = [[p for p in trained_by([o]) if p.grad is not None] for o in optimizers]
        self._came = [(p, p.grad) for own in with_gradient for p in own[:LOOKED_AT]]

    def dropped(self) -> bool:
        """Whether all that had come is gone."""
        return bool(self._came) and not any(_still_there(*pair) for pair in self._came)


def _still_there(param: torch.Tensor, gradient: torch.Tensor) -> bool:
    return param.grad is gradient and _nonzero(gradient)


def _nonzero(gradient: torch.Tensor | None) -> bool:
    return gradient is not None and bool(gradient.count_nonzero())
