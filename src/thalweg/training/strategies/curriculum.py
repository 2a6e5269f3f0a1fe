"""Curriculum learning: easy examples first, then more and more of the difficult ones.

    difficulty = losses_of(teacher, loss, dataset)           # or numbers of one's own
    sampler = CurriculumBatches(difficulty, 32, exponential_pacing(0.2, 1.5, every=50))
    loader = DataLoader(dataset, batch_sampler=sampler)

At step i a batch is drawn from the easiest pacing(i) n of the n examples. The pool is gone through
in random order, each example once before any comes again; when it grows, this begins anew. Once it
holds everything, an epoch is what it is without a curriculum: all examples once, shuffled.

Reference: Bengio, Louradour, Collobert & Weston (2009), *Curriculum learning*; Hacohen & Weinshall
(2019), *On the power of curriculum learning in training deep networks*, algorithm 1, and section
2.2 for difficulty by a teacher's losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from thalweg.training.metrics import evaluating
from thalweg.training.strategies.epoch_batches import EpochBatches
from thalweg.training.strategies.pacing import Pacing


@final
class CurriculumBatches(EpochBatches):
    """Batches of indices from the easiest examples, of which there are more at each step.

    Args:
        difficulty: a number for each example, (n,); the easiest have the smallest. The order of
            equal ones is the data set's.
        batch_size: how many examples a batch has; fewer where the pool or its rest has fewer.
        pacing: from the step, counted from 0 over all epochs, to the share of the examples.
        seed: of the order in which a pool is gone through.

    An epoch has ceil(n / batch_size) batches, whatever the pool.

    Raises:
        ValueError: no examples, a difficulty that is not a number, or a batch size below 1.
    """

    def __init__(
        self,
        difficulty: Tensor | Sequence[float],
        batch_size: int,
        pacing: Pacing,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        numbers = torch.as_tensor(difficulty, dtype=torch.float64).cpu()
        if numbers.dim() != 1 or not len(numbers) or numbers.isnan().any() or batch_size < 1:
            raise ValueError(
                f"CurriculumBatches(difficulty of shape {tuple(numbers.shape)}, {batch_size}, "
                "...): give one number for each example, none of them nan, and a batch size of 1 "
                "or more."
            )
        self.batch_size, self.pacing = batch_size, pacing
        self.easiest_first = numbers.argsort(stable=True)

    def __len__(self) -> int:
        return math.ceil(len(self.easiest_first) / self.batch_size)

    def pool(self, step: int) -> int:
        """How many of the easiest examples a step draws from: at least one."""
        n = len(self.easiest_first)
        return min(n, max(1, math.ceil(round(self.pacing(step) * n, 9))))

    def batches(self, epoch: int, generator: torch.Generator) -> Iterator[list[int]]:
        """The batches of an epoch."""
        pool = 0
        rest: Iterator[Tensor] = iter(())
        for step in range(epoch * len(self), (epoch + 1) * len(self)):
            if self.pool(step) > pool:
                pool, rest = self.pool(step), iter(())
            batch = next(rest, None)
            if batch is None:
                rest = iter(torch.split(torch.randperm(pool, generator=generator), self.batch_size))
                batch = next(rest)
            yield self.easiest_first[batch].tolist()


def losses_of(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    dataset: Dataset[Any] | tuple[Tensor, Tensor],
    *,
    batch_size: int = 256,
) -> Tensor:
    """The loss of each example under a model that has learned the task: its difficulty.

    Args:
        model: the teacher; evaluated in evaluation mode, and left in the modes that it was in.
        loss: of outputs and targets, with a value for each example: `reduction="none"`.
        dataset: of pairs (input, target); or inputs and targets as two tensors.
        batch_size: how many examples are evaluated at once.

    Returns:
        The losses in the data set's order, (n,).

    Raises:
        ValueError: the loss gives one number for a whole batch.
    """
    device = next(model.parameters(), torch.empty(0)).device
    examples = TensorDataset(*dataset) if isinstance(dataset, tuple) else dataset
    with evaluating(model):
        found = [
            _each(loss(model(x.to(device)), y.to(device)), len(x))
            for x, y in DataLoader(examples, batch_size=batch_size)
        ]
    return torch.cat(found)


def _each(losses: Tensor, examples: int) -> Tensor:
    """The loss of each example: the mean over what further dimensions there are."""
    if losses.dim() < 1 or len(losses) != examples:
        raise ValueError(
            f"losses_of(...): the loss of {examples} examples has the shape "
            f"{tuple(losses.shape)}. Give a loss with a value for each: reduction='none'."
        )
    return losses.reshape(examples, -1).mean(1).cpu()


def within_classes(difficulty: Tensor | Sequence[float], labels: Tensor | Sequence[int]) -> Tensor:
    """Difficulty as the rank within an example's own class, so that each pool is balanced.

    Args:
        difficulty: a number for each example, (n,).
        labels: its class, (n,), integers.

    Returns:
        For each example, which share of its class is easier, (n,), in [0, 1).

    Raises:
        ValueError: more of one than of the other.
    """
    numbers, classes = torch.as_tensor(difficulty).cpu(), torch.as_tensor(labels).cpu()
    if numbers.shape != classes.shape or classes.dim() != 1:
        raise ValueError(
            f"within_classes(difficulty of shape {tuple(numbers.shape)}, labels of shape "
            f"{tuple(classes.shape)}): give one number and one class for each example."
        )
    ranks = torch.empty(len(classes), dtype=torch.float64)
    for label in torch.unique(classes):
        members = (classes == label).nonzero().squeeze(1)
        order = members[numbers[members].argsort(stable=True)]
        ranks[order] = torch.arange(len(order), dtype=torch.float64) / len(order)
    return ranks
