"""Rounds: the updates of several optimizers that belong to one pass of the training loop.

What an adversarial pair computes before the first network's update is used again for the second
one's, so that the tape must not begin anew between them.
"""

from __future__ import annotations

from collections import deque

from torch.optim.optimizer import Optimizer

RECENT = 4


class Rounds:
    """Follows which optimizer makes updates after which."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._round: set[int] = set()

    def ended_by(self, optimizer: Optimizer, others: int = 0) -> bool:
        """Whether this update was the last of a round: all have stepped, or this one again.

        Args:
            optimizer: Who made the update.
            others: How many optimizers have yet to make their first one.
        """
        again = id(optimizer) in self._round
        self._round.add(id(optimizer))
        self._recent.append(id(optimizer))
        if again or (not others and set(self._recent) <= self._round):
            self._round.clear()
            return True
        return False
