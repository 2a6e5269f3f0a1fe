"""The batches of an epoch: which samples, in which order, from which place on.

Learning by the batch, by the minibatch and online differ in one number, how many samples a gradient
is the mean of. In which order the samples come is a function of a seed and the epoch alone:

    "each-epoch"   another permutation in every epoch
    "once"         one permutation for all epochs: fixed minibatches of samples that were mixed
    "never"        the data's own order, which is as a rule sorted by something

so that a run that is resumed in the middle of an epoch takes up the same order. A `DataLoader`
keeps its own order and size of batches. On several processes each takes its share of every batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, IterableDataset

from thalweg.operators.batches import Batch, batch_of, loader_generators, repeatable, samples_of
from thalweg.optim.hyperparameters import nearest

Shuffle = Literal["each-epoch", "once", "never"]
SHUFFLES = ("each-epoch", "once", "never")


@dataclass(frozen=True)
class Part:
    """This process's share of a batch.

    Attributes:
        batch: inputs and targets.
        samples: how many of its samples count; 0 for a sample that stands in for none, since all
            processes must call the model alike.
        total: samples of the whole batch, on all processes.
    """

    batch: Batch
    samples: int
    total: int


class Source(Protocol):
    """Where batches come from."""

    @property
    def name(self) -> str:
        """What a resumed run must have too."""

    def parts(self, epoch: int, skip: int = 0) -> Iterator[Part]:
        """The batches of an epoch, from 0, after the first `skip`; the skipping is done at once."""

    def generators(self) -> list[torch.Generator]:
        """Generators that the batches are drawn with, besides the global ones."""


@dataclass(frozen=True)
class Drawn:
    """Batches of samples that are known by their number: tensors, or a `Dataset`.

    Attributes:
        data: a batch of all samples, or a `Dataset`.
        length: how many there are.
        size: of a batch.
        shuffle: one of `SHUFFLES`.
        seed: of the permutations.
        rank: this process's number.
        world: how many processes there are.
    """

    data: Any
    length: int
    size: int
    shuffle: Shuffle = "never"
    seed: int = 0
    rank: int = 0
    world: int = 1

    @property
    def name(self) -> str:
        """Sizes and order."""
        return f"{self.length} samples, {self.size} a batch, shuffled {self.shuffle}"

    def generators(self) -> list[torch.Generator]:
        """None: the seed says it all."""
        return []

    def parts(self, epoch: int, skip: int = 0) -> Iterator[Part]:
        """The batches of an epoch."""
        batches = torch.split(self.order(epoch), self.size)[skip:]
        shares = [share(rows, self.rank, self.world) for rows in batches]
        drawn = map(batch_of, rows_of(self.data, [rows for rows, _ in shares]))
        sizes = ((count, len(batch)) for (_, count), batch in zip(shares, batches, strict=True))
        return (Part(batch, *size) for batch, size in zip(drawn, sizes, strict=True))

    def order(self, epoch: int) -> Tensor:
        """The samples' numbers in the order of an epoch, (length,)."""
        if self.shuffle == "never":
            return torch.arange(self.length)
        turn = epoch if self.shuffle == "each-epoch" else 0
        # Seeds that are near each other give streams that are not: Mersenne Twister mixes them.
        generator = torch.Generator().manual_seed((self.seed + 1_000_003 * turn) % 2**63)
        return torch.randperm(self.length, generator=generator)


def share(rows: Tensor, rank: int, world: int) -> tuple[Tensor, int]:
    """The rows of one process, at least one, and how many of them count."""
    own = rows[rank::world]
    return (own, len(own)) if len(own) else (rows[:1], 0)


def rows_of(data: Any, batches: Sequence[Tensor]) -> Iterator[Any]:
    """The samples with these numbers, batch by batch."""
    if isinstance(data, Batch):
        return (taken(data, rows) for rows in batches)
    lists = [rows.tolist() for rows in batches]
    # A generator of its own: making an iterator draws a number, from the global one by default.
    return iter(DataLoader(data, batch_sampler=lists, generator=torch.Generator()))


def taken(data: Any, rows: Tensor) -> Any:
    """Some rows of every tensor."""
    return tree_map(lambda x: x[rows], data)


@dataclass(frozen=True)
class Loaded:
    """The batches of a `DataLoader`, or of anything that gives batches each time it is iterated.

    Attributes:
        loader: gives pairs (inputs, targets).
        world: how many processes take a share of the same size.
    """

    loader: Any
    world: int = 1

    @property
    def name(self) -> str:
        """The loader's kind and length; its order is its own."""
        try:
            count = f"{len(self.loader)} "
        except TypeError:  # of an IterableDataset
            count = ""
        return f"{count}batches of a {type(self.loader).__name__}"

    def generators(self) -> list[torch.Generator]:
        """Those that the loader and its samplers were given."""
        return loader_generators(self.loader)

    def parts(self, epoch: int, skip: int = 0) -> Iterator[Part]:
        """The batches of an epoch; those that are skipped are loaded, and thrown away."""
        for place in ("sampler", "batch_sampler"):  # as DistributedSampler has it
            if set_epoch := getattr(getattr(self.loader, place, None), "set_epoch", None):
                set_epoch(epoch)
        items = iter(self.loader)
        for _ in range(skip):
            next(items, None)
        return (part(batch_of(item), self.world) for item in items)


def part(batch: Batch, world: int) -> Part:
    """A batch that a loader gave to this process."""
    count = int(samples_of(batch))
    return Part(batch, count, count * world)


def source_of(
    data: Any,
    batch_size: int | Literal["all"] | None,
    shuffle: Shuffle | None,
    *,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Drawn | Loaded:
    """The batches of `data`; see `fit` for what it may be.

    Args:
        data: a pair of tensors, a `Dataset`, or a loader.
        batch_size: samples in a batch, or "all"; None for a loader, or for 32.
        shuffle: one of `SHUFFLES`; None for a loader, or for "each-epoch".
        seed: of the order.
        rank: this process's number.
        world: how many processes there are.

    Raises:
        TypeError: data of another kind.
        ValueError: no samples, a size or an order that cannot be, or one for a loader, which has
            its own.
    """
    if shuffle not in (*SHUFFLES, None):
        raise ValueError(f"fit(shuffle={shuffle!r}): no such order. {nearest(shuffle, SHUFFLES)}")
    if batch_size not in ("all", None) and not is_count(batch_size):
        raise ValueError(f"fit(batch_size={batch_size!r}): give a whole number >= 1, or 'all'.")
    whole = isinstance(data, tuple) and len(data) == 2
    if not whole and (not isinstance(data, Dataset) or isinstance(data, IterableDataset)):
        return loaded(data, batch_size, shuffle, world)
    data = Batch(*data) if whole else data
    length = same_length(data) if whole else len(data)
    if length == 0:
        raise ValueError("fit: the data holds no sample.")
    size = length if batch_size == "all" else (batch_size or 32)
    return Drawn(data, length, size, shuffle or "each-epoch", seed, rank, world)


def is_count(value: object) -> bool:
    """Whether it is a whole number from 1 on."""
    return isinstance(value, (int, float)) and value >= 1 and value % 1 == 0


def same_length(data: Batch) -> int:
    """How many samples a pair of tensors holds.

    Raises:
        ValueError: inputs and targets are not equally many.
    """
    length = int(samples_of(data))
    for x in tree_leaves(data):
        if isinstance(x, Tensor) and x.shape[:1] != (length,):
            raise ValueError(
                f"fit: {length} samples, and a tensor of shape {tuple(x.shape)}; inputs and "
                "targets need one row a sample."
            )
    return length


def loaded(data: Any, batch_size: object, shuffle: object, world: int) -> Loaded:
    """The batches of a loader, which has its own size and order."""
    if batch_size is not None or shuffle is not None:
        raise ValueError(
            "fit(batch_size=..., shuffle=...): a loader has its own size of batches and order; set "
            "them there, or give the Dataset, or a pair of tensors, in place of the loader."
        )
    if isinstance(data, IterableDataset):
        raise TypeError("fit: wrap an IterableDataset in a DataLoader, which makes batches of it.")
    return Loaded(repeatable(data), world)
