"""The backward passes that an update is made of: those since its optimizer's last one."""

from __future__ import annotations

import torch
from torch.optim.optimizer import Optimizer

from thalweg.recorder.leaves import trained_by
from thalweg.recorder.staleness import Unused
from thalweg.recorder.tape import Tape


class Passes:
    """Follows the backward passes into the parameters of one optimizer.

    Attributes:
        tapes: One for each pass that its next update is made of.
        others: The leaves of these that are not its own, each with its version at the pass.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.tapes: list[Tape] = []
        self.others: list[tuple[torch.Tensor, int]] = []
        self._optimizer, self._unused = optimizer, Unused()

    def begin(self, tape: Tape) -> None:
        """A pass begins; those whose gradients were cleared since were for something else."""
        if self._unused.dropped():
            self.tapes, self.others = [], []
        own = {id(p) for p in trained_by([self._optimizer])}
        if tape.flaw or any(id(leaf) in own for leaf in tape.leaves):
            self.tapes.append(tape)
            self.others += [(x, x._version) for x in tape.leaves if id(x) not in own]

    def end(self) -> None:
        """The gradients of a pass have arrived."""
        self._unused.remember([self._optimizer])

    @property
    def overtaken(self) -> bool:
        """Whether another optimizer has moved its parameters since, so that the loss is another."""
        return any(leaf._version != version for leaf, version in self.others)

    def taken(self) -> list[Tape]:
        """The tapes, for an update that is about to be made."""
        tapes, self._unused = self.tapes, Unused()
        self.tapes, self.others = [], []
        return tapes
