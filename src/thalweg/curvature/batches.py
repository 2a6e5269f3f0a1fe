"""What "the data" of an operator may be: one batch, or all the batches of a loader.

The loss of a data set is the mean over its samples. A loss that is a mean over its batch therefore
enters with the weight samples / total, so that a last batch that is shorter counts for less; a
loss that is a sum enters with the weight 1. (Equal weights for unequal batches give a wrong
Hessian, and nothing shows it.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, final

from torch import Tensor
from torch.utils._pytree import tree_leaves

Reduction = Literal["mean", "sum"]


class Batch(NamedTuple):
    """One batch: what the model is called with, and what the loss compares its output with."""

    inputs: Any
    targets: Any


class Weighed(NamedTuple):
    """A batch, with the number of its samples and its weight in the loss of all."""

    batch: Batch
    samples: int
    weight: float


@final
class Batches:
    """The batches of `data`, each with its weight; iterating goes through them once more.

    Args:
        data: one batch as a tuple (inputs, targets); or something that gives batches each time
            that it is iterated, such as a `DataLoader` or a list: pairs (inputs, targets), or
            mappings, which the model takes as keyword arguments and the loss takes as targets.
            Within a batch, inputs may be a tuple (positional arguments) or a mapping (keywords).
        reduction: what the loss does over a batch, "mean" or "sum".
        samples: from a batch to the number of its samples; by default the length of the targets,
            or of the inputs where the targets have none.

    Attributes:
        total: samples in all; counting takes one pass over the data.
        count: batches.

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
        samples: Callable[[Batch], int] | None = None,
    ) -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction={reduction!r}: give 'mean' or 'sum', as the loss does.")
        self._data = [data] if isinstance(data, tuple) and len(data) == 2 else repeatable(data)
        self._reduction = reduction
        self._samples = samples or samples_of
        counts = [self._counted(batch) for batch in map(batch_of, self._data)]
        if not counts:
            raise ValueError("data holds no batch; give at least one (inputs, targets).")
        if samples is None:
            check_ratio(map(batch_of, self._data))
        self.total, self.count = sum(counts), len(counts)

    def __iter__(self) -> Iterator[Weighed]:
        """The batches in the order in which the data gives them."""
        for batch in map(batch_of, self._data):
            samples = self._counted(batch)
            weight = samples / self.total if self._reduction == "mean" else 1.0
            yield Weighed(batch, samples, weight)

    def __len__(self) -> int:
        """The number of batches."""
        return self.count

    def _counted(self, batch: Batch) -> int:
        count = int(self._samples(batch))
        if count < 1:
            raise ValueError(f"data: a batch has {count} samples; leave it out.")
        return count


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
    if iter(data) is data:
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


def samples_of(batch: Batch) -> int:
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


def check_ratio(batches: Iterable[Batch]) -> None:
    """Refuse batches where targets and inputs disagree on how the samples are distributed.

    Raises:
        ValueError: they do.
    """
    ratios = set()
    for batch in batches:
        inputs = [x for x in tree_leaves(batch.inputs) if isinstance(x, Tensor) and x.dim()]
        if inputs and inputs[0].shape[0]:
            ratios.add(samples_of(batch) / inputs[0].shape[0])
    if len(ratios) > 1:
        raise ValueError(
            f"data: targets have {sorted(ratios)} times the length of the inputs, another ratio "
            "from batch to batch, so samples cannot be counted; pass samples=, a function from a "
            "batch to the number of its samples."
        )
