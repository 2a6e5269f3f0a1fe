"""Running the formula as it is written, on whole tensors: one after the other, or all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from thalweg.optim.forms.batch import Batch
from thalweg.optim.forms.lanes import Lane, row


def each(formula: Callable[..., Any], lane: Lane, hyper: dict[str, Any]) -> None:
    """One parameter after the other."""
    for index in range(len(lane.params)):
        inputs = row(lane.inputs, index)
        settle(formula(*inputs, **hyper), row(lane.targets, index), inputs)


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
    known = {id(x) for x in inputs}
    kept = [
        v.clone() if id(v) in known and v is not t and v is not None else v
        for v, t in zip(values, targets, strict=True)
    ]
    for value, target in zip(kept, targets, strict=True):
        if target is not None and value is not target:
            target.copy_(value)
