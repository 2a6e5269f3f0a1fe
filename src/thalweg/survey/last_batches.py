"""The last batches of a training run: what entered the networks, and the loss, to be asked again.

Memory: of the last eight updates the tapes, which hold their batches; of each network the inputs of
its last calls, up to 512 samples.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.recorder import Call, Listener, Session, Tape, TapeError, TapeRecorder

UPDATES, SAMPLES = 8, 512


class LastLosses(Listener):
    """Keeps the tapes of the last updates.

    Args:
        updates: How many updates there will be.
    """

    only_looks: ClassVar[bool] = True

    def __init__(self, updates: int) -> None:
        self._first, self.made = updates - UPDATES, 0
        self._tape = TapeRecorder()
        self._pending: list[Tape] = []
        self._tapes: deque[Tape] = deque(maxlen=UPDATES)

    def started(self, session: Session) -> None:
        """Begin at once where there are few updates."""
        self._tape.on = self._first <= 0

    def rewrite(self, call: Call) -> None:
        """Prepare the tape."""
        if self._tape.on:
            self._tape.rewrite(call)

    def called(self, call: Call, result: Any) -> None:
        """Follow the call on the tape."""
        if self._tape.on:
            self._tape.called(call, result)

    def before_backward(self, loss: Tensor) -> None:
        """Take the tape that ends here, if it can be played."""
        if self._tape.on:
            tape = self._tape.take(loss)
            try:
                tape.check()
            except Exception:  # as the program's own calls, which it plays
                return
            self._pending.append(tape)

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Keep what the update was made of."""
        self.made += 1
        self._tapes.extend(self._pending)
        self._pending = []
        self._tape.clear()
        self._tape.on = self.made >= self._first

    def mean(self) -> float | None:
        """The mean loss of those batches at the parameters as they are now; None without any."""
        if not self._tapes:
            return None
        try:
            values = [played(tape) for tape in self._tapes]
        except (TapeError, RuntimeError):
            return None
        return math.fsum(values) / len(values)


def played(tape: Tape) -> float:
    """The tape's loss at its leaves' present values."""
    with torch.no_grad():
        return float(tape.loss([leaf.detach() for leaf in tape.leaves]))


@dataclass
class Inputs:
    """What a network was last given while it was trained.

    Attributes:
        module: The network.
        batches: Positional and keyword arguments of its calls, copied; latest last.
    """

    module: nn.Module
    batches: deque[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=deque)

    def add(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Keep one call more, and forget those that are not needed for 512 samples."""
        self.batches.append(tree_map(copied, (args, dict(kwargs))))
        counts = [samples(one) for one in self.batches]
        while sum(counts[1:]) >= SAMPLES:
            self.batches.popleft()
            del counts[0]


def copied(part: Any) -> Any:
    """A tensor as it is now; anything else itself."""
    return part.detach().clone() if isinstance(part, Tensor) else part


def samples(batch: Any) -> int:
    """The length of the first tensor of a batch; 1 without one."""
    sizes = (len(x) for x in tree_leaves(batch) if isinstance(x, Tensor) and x.dim())
    return next(sizes, 1)
