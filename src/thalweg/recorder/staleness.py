"""Whether a gradient that an update has already used is still in the sum when the next one comes.

After an update the gradients of a few parameters are remembered by identity and version. They have
been cleared when, before some later backward pass, they are gone, replaced or all zero. A step is
stale if its optimizer's gradients never were: exact, and silent for gradient accumulation (cleared
once, summed on purpose) and for adversarial pairs (another network's gradients pass by in between).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from thalweg.recorder.leaves import trained_by

LOOKED_AT = 4
ENTRIES = 256


@dataclass(frozen=True)
class Print:
    """What shows that a leaf was written to: its version; written to by ``data``, its values."""

    leaf: torch.Tensor
    version: int
    values: torch.Tensor

    @classmethod
    def of(cls, leaf: torch.Tensor) -> Print:
        """As the leaf is now."""
        return cls(leaf, leaf._version, leaf.detach().flatten()[:ENTRIES].clone())

    def differs(self, other: Print) -> bool:
        """Whether something was written in between."""
        return self.version != other.version or not torch.equal(self.values, other.values)


class Staleness:
    """Follows the gradients of every optimizer from update to update."""

    def __init__(self) -> None:
        self._used: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._prints: dict[int, Print] = {}
        self._by_hand = False

    def look(self, optimizers: Sequence[Any], leaves: Sequence[torch.Tensor] = ()) -> None:
        """A backward pass begins: forget the gradients that have been cleared.

        ``leaves`` are given by a program that updates them by hand: their gradients are stale if
        the leaves have been written to since the gradients came, and the gradients are still there.
        """
        looked_at = {id(leaf): Print.of(leaf) for leaf in leaves[:LOOKED_AT]}
        self._by_hand = any(
            id(leaf) in self._prints
            and looked_at[id(leaf)].differs(self._prints[id(leaf)])
            and _nonzero(leaf.grad)
            for leaf in leaves[:LOOKED_AT]
        )
        self._prints = looked_at
        for optimizer in optimizers:
            pairs = self._used.get(id(optimizer))
            if pairs:
                self._used[id(optimizer)] = [pair for pair in pairs if _nonzero(pair[0].grad)]

    def stepped(self, optimizer: Any) -> bool:
        """An update was made: whether it used gradients of an earlier one."""
        if optimizer is None:
            return self._by_hand
        used = self._used.get(id(optimizer), [])
        stale = any(parameter.grad is gradient for parameter, gradient in used)
        there = [(p, p.grad) for p in trained_by([optimizer]) if p.grad is not None]
        looked_at = [pair for pair in there if not pair[1].is_sparse][:LOOKED_AT]
        self._used[id(optimizer)] = [(p, g) for p, g in looked_at if _nonzero(g)]
        return stale


class Unused:
    """The gradients that came since the last update, and whether the program threw them away.

    A step that a gradient scaler skips, and a backward pass for another purpose than training, end
    in gradients that are cleared before an update has used them.
    """

    def __init__(self) -> None:
        self._came: list[torch.Tensor] = []

    def remember(self, optimizers: Sequence[Any]) -> None:
        """A backward pass has ended."""
        there = [[p for p in trained_by([o]) if p.grad is not None] for o in optimizers]
        self._came = [p for own in there for p in own[:LOOKED_AT]]

    def dropped(self) -> bool:
        """Whether all that had come is gone."""
        return bool(self._came) and not any(_nonzero(p.grad) for p in self._came)


def _nonzero(gradient: torch.Tensor | None) -> bool:
    return gradient is not None and bool(gradient.count_nonzero())
