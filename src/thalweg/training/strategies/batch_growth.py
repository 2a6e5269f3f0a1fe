"""Batches that grow where the learning rate would fall.

    growth = BatchGrowth(64, factor=4, epochs=(30, 60), largest=1024)
    sampler = GrowingBatches(len(dataset), growth)
    loader = DataLoader(dataset, batch_sampler=sampler)
    schedule = LambdaLR(optimizer, growth.rate_factor)       # once an epoch; 1 unless capped

The noise of stochastic descent goes with lr / B, the learning rate over the batch size: at the same
number of passes over the data, a batch that is k times as large does what a rate k times as small
does, as long as the rate is well below where descent becomes unstable, and takes k times fewer
steps. Where a batch has become as large as it may, the rate falls instead.

Reference: Smith, Kindermans, Ying & Le (2018), *Don't decay the learning rate, increase the batch
size*, sections 2 and 3; Harakeh, lecture 4, "What minibatch size should we use?".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch

from thalweg.training.strategies.epoch_batches import EpochBatches


@final
@dataclass(frozen=True)
class BatchGrowth:
    """How large batches are in each epoch.

    Attributes:
        first: the size to begin with.
        factor: what each of `epochs` multiplies it by.
        epochs: where it grows, counted from 0.
        largest: the size that is not passed, or None. Smith et al. advise a tenth of the data.

    Raises:
        ValueError: a size below 1, a factor below 1, or `largest` below `first`.
    """

    first: int
    factor: float
    epochs: tuple[int, ...]
    largest: int | None = None

    def __post_init__(self) -> None:
        if self.first < 1 or self.factor < 1 or (self.largest or self.first) < self.first:
            raise ValueError(
                f"{self}: batches start with at least one example and grow, by a factor of 1 or "
                "more, up to a largest size that is no smaller than the first."
            )

    def wanted(self, epoch: int) -> float:
        """The size that the schedule asks for, were there no largest."""
        return float(self.first * self.factor ** sum(epoch >= grown for grown in self.epochs))

    def batch_size(self, epoch: int) -> int:
        """The size of an epoch's batches."""
        wanted = round(self.wanted(epoch))
        return wanted if self.largest is None else min(wanted, self.largest)

    def rate_factor(self, epoch: int) -> float:
        """What the learning rate is multiplied by, so that lr / B falls as the schedule asks."""
        return self.batch_size(epoch) / self.wanted(epoch)


@final
class GrowingBatches(EpochBatches):
    """All examples once an epoch, shuffled, in batches whose size the epoch decides.

    Args:
        examples: how many there are.
        growth: how large batches are in each epoch.
        seed: of the orders.

    Its length is that of the epoch which is at hand.

    Raises:
        ValueError: no examples.
    """

    def __init__(self, examples: int, growth: BatchGrowth, *, seed: int = 0) -> None:
        super().__init__(seed)
        if examples < 1:
            raise ValueError(f"GrowingBatches({examples}, ...): there must be examples.")
        self.examples, self.growth = examples, growth

    def __len__(self) -> int:
        return math.ceil(self.examples / self.growth.batch_size(self.epoch))

    def batches(self, epoch: int, generator: torch.Generator) -> Iterator[list[int]]:
        """The batches of an epoch; the last may be smaller."""
        order = torch.randperm(self.examples, generator=generator)
        return (batch.tolist() for batch in torch.split(order, self.growth.batch_size(epoch)))
