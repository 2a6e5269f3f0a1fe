"""Evaluating at an average: the parameters take its values, and get their own back afterwards.

    with averaged(average, loader=train_loader):
        test(model)

What is put back is what was there, bit for bit, whether the block ends or raises. As batch norm's
statistics belong to the weights that they were gathered with, either average them too (give the
average its `model`), or gather them anew for the averaged weights (give a `loader`); buffers are
put back as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import update_bn

from thalweg.optim.companions.around import Around
from thalweg.optim.companions.averaging import Average
from thalweg.optim.optimizer import RuleOptimizer

Pairs = list[tuple[Tensor, Tensor]]


@contextmanager
def averaged(
    source: Average | Optimizer,
    *,
    model: torch.nn.Module | None = None,
    loader: Iterable[Any] | None = None,
    device: torch.device | int | None = None,
) -> Iterator[None]:
    """Let parameters be their average while the block runs.

    Args:
        source: an `Average`; or an optimizer whose rule averages (Schedule-Free, averaged SGD).
        model: whose buffers are put back too; the average's own if it has one.
        loader: batches to gather batch norm's statistics from, as for
            `torch.optim.swa_utils.update_bn`; needs the model.
        device: where the loader's batches go.

    Raises:
        TypeError: the source keeps no average.
        ValueError: a loader without a model.
    """
    pairs = _pairs(source)
    model = model or (source.model if isinstance(source, Average) else None)
    if loader is not None and model is None:
        raise ValueError("averaged(..., loader=...): give model=, whose statistics are gathered.")
    touched = [x for x, _ in pairs] + (list(model.buffers()) if model else [])
    kept = [(x, x.detach().clone()) for x in touched]
    try:
        _copy(pairs)
        if loader is not None and model is not None:
            _gather(loader, model, device)
        yield
    finally:
        _copy(kept)


@torch.no_grad()
def _copy(pairs: Pairs) -> None:
    for x, value in pairs:
        x.copy_(value)


@torch.no_grad()
def _pairs(source: Any) -> Pairs:
    if isinstance(source, Average):
        return source.averages()
    if isinstance(source, Around):
        return _pairs(source.optimizer)
    if isinstance(source, RuleOptimizer) and source.rule.average is not None:
        return points(source)
    raise TypeError(
        f"averaged({type(source).__name__}): it keeps no average. Give a PolyakAverage, an "
        "ExponentialAverage or a StochasticWeightAverage of the optimizer."
    )


def points(optimizer: RuleOptimizer) -> Pairs:
    """Every parameter that has moved, with the point where its rule wants the model evaluated."""
    average = optimizer.rule.average
    if average is None:
        return []
    return [
        (p, average(p.detach(), own, group))
        for group in optimizer.param_groups
        for p in group["params"]
        if (own := optimizer.state.get(p))
    ]


def _gather(loader: Iterable[Any], model: torch.nn.Module, device: Any) -> None:
    """Batch norm's statistics of the weights as they are; what else it sets is set back."""
    names = ("training", "momentum")
    before = [(m, {k: vars(m)[k] for k in names if k in vars(m)}) for m in model.modules()]
    try:
        update_bn(loader, model, device)
    finally:
        for module, settings in before:
            vars(module).update(settings)
