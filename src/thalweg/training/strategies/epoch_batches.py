"""Batches of indices, epoch by epoch: drawn from a seed and the epoch alone, so that runs resume.

A subclass goes to a loader as its `batch_sampler`:

    loader = DataLoader(dataset, batch_sampler=sampler)

Epochs are counted as they are used up; one that was broken off begins anew. `state_dict` says how
many batches of the epoch have been handed out, and `load_state_dict` goes on right after them. A
loader with workers draws ahead of the training loop: there, `set_epoch(epoch, done=...)` with the
loop's own count is what resumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch.utils.data import Sampler


def generator_of(seed: int, epoch: int) -> torch.Generator:
    """A generator for one epoch, independent of those for other epochs and seeds."""
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]))


class EpochBatches(Sampler[list[int]]):
    """Hands out the batches of one epoch after another; a subclass says which they are.

    Args:
        seed: of all random choices. The batches of an epoch depend on it and on the epoch alone.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.epoch, self.done = seed, 0, 0
        self._skip = 0

    def batches(self, epoch: int, generator: torch.Generator) -> Iterator[list[int]]:
        """The batches of an epoch, counted from 0; every random choice is the generator's."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[list[int]]:
        generator = generator_of(self.seed, self.epoch)
        self.done, self._skip = self._skip, 0
        for batch in islice(self.batches(self.epoch, generator), self.done, None):
            self.done += 1
            yield batch
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int, done: int = 0) -> None:
        """Let the next iteration be this epoch's, without the first `done` of its batches."""
        self.epoch, self.done, self._skip = epoch, done, done

    def state_dict(self) -> dict[str, int]:
        """The seed, the epoch, and how many of its batches have been handed out."""
        return {"seed": self.seed, "epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on right after the batches that were handed out when the state was taken."""
        self.seed = state["seed"]
        self.set_epoch(state["epoch"], state["done"])
