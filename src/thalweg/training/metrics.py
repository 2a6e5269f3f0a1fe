"""The true metric beside the surrogate loss: what counts, whether it has a derivative or not.

A metric is a function of outputs and targets that gives one value a sample, (n,), or their mean; or
an object with `update`, `compute` and `reset`, as torchmetrics' are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from thalweg.operators.batches import samples_of
from thalweg.training.batches import Part
from thalweg.training.placement import OneDevice
from thalweg.training.precision import casting

OfOutputs = Callable[[Any, Any], Tensor]


@runtime_checkable
class Accumulated(Protocol):
    """A metric that is not a mean over samples, as those of torchmetrics."""

    def update(self, outputs: Any, targets: Any, /) -> None:
        """Take a batch in."""

    def compute(self) -> Any:
        """The value over all batches that were taken in."""

    def reset(self) -> None:
        """Forget them."""


class Values(NamedTuple):
    """Means over data: of the surrogate loss, and the true metric if there is one."""

    loss: float
    metric: float | None


def called(model: nn.Module, inputs: Any) -> Any:
    """The model's output: a tuple holds positional arguments, a mapping those by name."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def is_higher_better(metric: Any, better: str | None) -> bool:
    """Which way a metric gets better: as said, as it says itself, or down as a loss.

    Raises:
        ValueError: neither "lower" nor "higher".
    """
    if better not in ("lower", "higher", None):
        raise ValueError(f"fit(better={better!r}): give 'lower' or 'higher'.")
    return better == "higher" or (better is None and bool(getattr(metric, "higher_is_better", 0)))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode and no graph; afterwards every module has its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluated(
    model: nn.Module,
    loss: OfOutputs,
    metric: OfOutputs | Accumulated | None,
    parts: Iterable[Part],
    place: OneDevice,
    precision: str | None = None,
) -> Values:
    """Surrogate loss and true metric of a model over batches, on all processes together.

    Raises:
        ValueError: there was no sample.
    """
    sums = torch.zeros(3, dtype=torch.float64)  # samples, losses, metrics
    gathers = metric if isinstance(metric, Accumulated) else None
    if gathers is not None:
        gathers.reset()
    with evaluating(model):
        for part in parts:
            inputs, targets = place.moved(part.batch)
            with casting(precision, place.device):
                outputs = called(model, inputs)
                here = [1.0, loss(outputs, targets).mean().item()]
            if gathers is not None and part.samples:
                gathers.update(outputs, targets)
            plain = None if gathers is not None else metric
            count = int(samples_of(part.batch))
            here.append(0.0 if plain is None else mean(plain(outputs, targets), count))  # type: ignore[operator]
            sums += part.samples * torch.tensor(here, dtype=torch.float64)
    samples, losses, metrics = place.sum(sums.to(place.device)).tolist()
    if not samples:
        raise ValueError("fit: the data to evaluate on holds no sample.")
    if gathers is not None:
        return Values(losses / samples, float(gathers.compute()))
    return Values(losses / samples, None if metric is None else metrics / samples)


def mean(values: Any, count: int) -> float:
    """Of values by sample, which may be truth values, or of their mean.

    Raises:
        ValueError: they are neither.
    """
    found = torch.as_tensor(values)
    if found.numel() != 1 and (not found.numel() or found.numel() % count):
        raise ValueError(
            f"fit(metric=...): for {count} samples the metric has the shape {tuple(found.shape)}; "
            "it must give one value a sample, or their mean."
        )
    return float(found.double().mean())
