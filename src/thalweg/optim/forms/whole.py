"""Running the formula as it is written, on whole tensors: one after the other, or all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

from torch import Tensor, _foreach_copy_

from thalweg.optim.forms.batch import Batch
from thalweg.optim.forms.lanes import Lane, row


def each(formula: Callable[..., Any], lane: Lane, hyper: dict[str, Any]) -> None:
    """One parameter after the other."""
    for inputs, targets in zip(_rows(lane.inputs), _rows(lane.targets), strict=False):
        settle(formula(*inputs, **hyper), targets, inputs)


def together(formula: Callable[..., Any], lane: Lane, hyper: dict[str, Any]) -> None:
    """All parameters of the lane at once."""
    batches = [None if column is None else Batch(column) for column in lane.inputs]
    results = [x and x.tensors for x in formula(*batches, **hyper)]
    for index in range(len(lane.params)):
        settle(row(results, index), row(lane.targets, index), row(lane.inputs, index))


def settle(
    values: Sequence[Any], targets: Sequence[Tensor | None], inputs: Sequence[Tensor | None]
) -> None:
    """Write results in their places; a result that is itself an input is saved from being lost."""
    known = set(map(id, inputs))
    places, news = [], []
    for value, target in zip(values, targets, strict=True):
        if target is not None and value is not target:
            places.append(target)
            news.append(value.clone() if id(value) in known else value)
    if places:
        _foreach_copy_(places, news)


def _rows(columns: Sequence[list[Tensor] | None]) -> Iterator[tuple[Tensor | None, ...]]:
    """What the columns hold for one parameter after the other; the first is always there."""
    return zip(*[repeat(None) if x is None else x for x in columns], strict=False)
