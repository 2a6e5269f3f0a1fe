"""What "the data" of an operator may be: one batch, or all the batches of a loader.

The loss of a data set is the mean over its samples. A loss that is a mean over its batch therefore
enters with the weight samples / total, so that a last batch that is shorter counts for less; a
loss that is a sum enters with the weight 1. (Equal weights for unequal batches give a wrong
Hessian, and nothing shows it.)

Every pass draws the same random numbers, so that a loader that shuffles or augments gives the same
batches each time, and the program's own random state stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.operators.random_state import RandomState
from thalweg.operators.reduction import Reduction

END = object()


class Batch(NamedTuple):
    """One batch: what the model is called with, and what the loss compares its output with."""

    inputs: Any
    targets: Any


class Weighed(NamedTuple):
    """A batch, with the number of its samples and its weight in the loss of all."""

    batch: Batch
    samples: float
    weight: float


@final
class Batches:
    """The batches of `data`, each with its weight; iterating goes through them once more.

    Args:
        data: one batch as a tuple (inputs, targets); or something that gives batches each time
            that it is iterated, such as a `DataLoader` or a list: pairs (inputs, targets), or
            mappings, which the model takes as keyword arguments and the loss takes as targets.
            Within a batch, inputs may be a tuple or list (positional arguments) or a mapping
            (keyword arguments).
        reduction: what the loss does over a batch, "mean" or "sum".
        samples: from a batch to the number of its samples, or to whatever else its mean was taken
            over; by default the length of the targets, or of the inputs where the targets have
            none.

    Attributes:
        total: samples in all, which the weights refer to; counting takes one pass over the data.
            To be raised where other processes hold more of the data.
        count: batches.
        reduction: as given.

    Raises:
        TypeError: `data` can be gone through only once (a generator), or not at all; or a batch is
            neither a pair nor a mapping.
        ValueError: no batch; a batch without samples; or inputs and targets whose lengths are in
            another ratio from batch to batch, so that samples cannot be counted.
    """

    def __init__(
        self,
        data: Any,
        *,
        reduction: Reduction = "mean",
        samples: Callable[[Batch], float] | None = None,
    ) -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction={reduction!r}: give 'mean' or 'sum', as the loss does.")
        one = isinstance(data, tuple) and len(data) == 2
        self._data = Replayed([data] if one else repeatable(data))
        self.reduction = reduction
        self._samples = samples or samples_of
        counts = counted(map(batch_of, self._data), self._samples, checked=samples is None)
        if not counts:
            raise ValueError("data holds no batch; give at least one (inputs, targets).")
        self.total, self.count = math.fsum(counts), len(counts)

    def __iter__(self) -> Iterator[Weighed]:
        """The batches in the order in which the data gives them."""
        for batch in map(batch_of, self._data):
            samples = self._samples(batch)
            weight = samples / self.total if self.reduction == "mean" else 1.0
            yield Weighed(batch, samples, weight)

    def __len__(self) -> int:
        """The number of batches."""
        return self.count


@final
class Replayed:
    """`data`, gone through with the same random draws every time."""

    def __init__(self, data: Iterable[Any]) -> None:
        self._data = data
        self._start = RandomState.now(generators=loader_generators(data))

    def __iter__(self) -> Iterator[Any]:
        """What `data` gives; between two items the program has its own random state."""
        with self._start.resumed():
            items, state = iter(self._data), self._start.again()
        while True:
            with state.resumed():
                item, state = next(items, END), state.again()
            if item is END:
                return
            yield item


def loader_generators(data: Any) -> list[torch.Generator]:
    """The random generators that a `DataLoader` and its samplers were given."""
    batch_sampler = getattr(data, "batch_sampler", None)
    samplers = (getattr(data, "sampler", None), getattr(batch_sampler, "sampler", None))
    places = (data, batch_sampler, *samplers)
    found = [getattr(place, "generator", None) for place in places]
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())


def repeatable(data: Any) -> Iterable[Any]:
    """`data` if it can be gone through again and again.

    Raises:
        TypeError: it cannot.
    """
    if isinstance(data, (Tensor, Mapping, str)) or not hasattr(data, "__iter__"):
        raise TypeError(
            f"data is a {type(data).__name__}; give one batch as a tuple (inputs, targets), or a "
            "list or DataLoader of batches."
        )
    if hasattr(data, "__next__"):
        raise TypeError(
            f"data is a {type(data).__name__}, which can be gone through only once, and products "
            "need it again; give the DataLoader itself, or list(...) of its batches."
        )
    return data  # type: ignore[no-any-return]


def batch_of(item: Any) -> Batch:
    """What a loader gives, as a batch.

    Raises:
        TypeError: neither a pair nor a mapping.
    """
    if isinstance(item, Mapping):
        return Batch(item, item)
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return Batch(*item)
    length = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
    raise TypeError(
        f"data: a batch is a {type(item).__name__}{length}; give pairs (inputs, targets). Several "
        "inputs go in a tuple: ((x1, x2), targets)."
    )


def samples_of(batch: Batch) -> float:
    """The number of samples in a batch: the length of its targets, or else of its inputs.

    Raises:
        ValueError: neither holds a tensor with a length.
    """
    for part in (batch.targets, batch.inputs):
        lengths = [x.shape[0] for x in tree_leaves(part) if isinstance(x, Tensor) and x.dim()]
        if lengths:
            return lengths[0]
    raise ValueError(
        "data: neither targets nor inputs of a batch hold a tensor with a length, so its samples "
        "cannot be counted; pass samples=, a function from a batch to their number."
    )


def counted(
    batches: Iterable[Batch], samples: Callable[[Batch], float], *, checked: bool
) -> list[float]:
    """The samples of each batch, in one pass.

    Raises:
        ValueError: a batch without samples; or, where `checked`, another ratio of targets to
            inputs from batch to batch.
    """
    counts, ratios = [], set()
    for batch in batches:
        count = samples(batch)
        if not (count > 0 and math.isfinite(count)):
            raise ValueError(f"data: a batch has {count} samples; leave it out.")
        counts.append(count)
        ratios.add(count / input_length(batch, count))
    if checked and len(ratios) > 1:
        raise ValueError(
            f"data: targets have {sorted(ratios)} times the length of the inputs, another ratio "
            "from batch to batch, so samples cannot be counted; pass samples=, a function from a "
            "batch to the number of its samples."
        )
    return counts


def input_length(batch: Batch, otherwise: float) -> float:
    """The length of the first input that has one."""
    inputs = (x for x in tree_leaves(batch.inputs) if isinstance(x, Tensor) and x.dim())
    return next((len(x) for x in inputs if len(x)), otherwise)
