r"""Risk and its estimates: how good a model is on data that it has not seen.

The risk R = E L(f(x), y) is over all data there might be. The mean over held-out samples estimates
it without bias, and its interval tells how well. The mean over the training data, the empirical
risk that training made small, does not: the parameters were chosen by it. What lies between is the
generalization gap,

    gap = R - (empirical risk),

where the second is a number and not an estimate, so that the gap is as uncertain as R is.

A learning curve shows both over the size of the training set; with more data they approach each
other. (Goodfellow, Bengio & Courville 2016, sections 5.2, 5.4 and 8.1.1; Farkaš, slide 2.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from thalweg.operators.batches import Batch, samples_of
from thalweg.training.estimates import Estimate, Interval, estimate
from thalweg.training.fit import in_order
from thalweg.training.metrics import OfOutputs, called, evaluating
from thalweg.training.placement import OneDevice

Fit = Callable[[Any, Any, int], nn.Module]


@dataclass(frozen=True)
class Generalization:
    """Training and held-out risk of a model.

    Attributes:
        train: the mean over the training data; its interval is that of the spread over samples, and
            does not cover the risk, for the model was chosen by these samples.
        held_out: the estimate of the risk.
        gap: held-out less training mean; its interval covers the true gap.
    """

    train: Estimate
    held_out: Estimate
    gap: Estimate


@dataclass(frozen=True)
class Size:
    """One size of a learning curve.

    Attributes:
        samples: the training data's.
        train: mean training loss over the seeds, with Student's interval over the seeds.
        held_out: the same of the held-out loss.
    """

    samples: int
    train: Estimate
    held_out: Estimate


def losses_by_sample(model: nn.Module, loss: OfOutputs, data: Any) -> Tensor:
    """The loss of every sample, (n,), float64, with the model in eval mode.

    Raises:
        ValueError: the loss does not give one value a sample.
    """
    found, place = [], OneDevice(model)
    with evaluating(model):
        for part in in_order(data, place).parts(0):
            inputs, targets = place.moved(part.batch)
            values = loss(called(model, inputs), targets)
            if values.shape != (part.samples,):
                raise ValueError(
                    f"risk(loss=...): for {part.samples} samples the loss has the shape "
                    f"{tuple(values.shape)}; it must give one value a sample, as with "
                    "reduction='none'."
                )
            found.append(values.to("cpu", torch.float64))
    if not found:
        raise ValueError("risk: the data holds no sample.")
    return torch.cat(found)


def risk(
    model: nn.Module,
    loss: OfOutputs,
    data: Any,
    *,
    interval: Interval = "auto",
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The risk of a model, from samples that it was not trained on.

    Args:
        model: measured in eval mode, and left as it is.
        loss: from outputs and targets to one loss a sample, (n,), as
            `thalweg.training.losses.zero_one_loss`, or `CrossEntropyLoss(reduction="none")`.
        data: as for `fit`.
        interval: see `estimate`; "auto" is Wilson's for the 0-1 loss, and else Student's.
        confidence: of the interval.
        seed: of the bootstrap's draws.

    Raises:
        ValueError: no loss by sample, or no interval for it; see `estimate`.
        TypeError: data of another kind.
    """
    values = losses_by_sample(model, loss, data)
    return estimate(values, interval=interval, confidence=confidence, seed=seed)


def generalization(
    model: nn.Module, loss: OfOutputs, train: Any, held_out: Any, **options: Any
) -> Generalization:
    """Training risk, held-out risk, and the gap between them.

    Args:
        model: as for `risk`.
        loss: as for `risk`.
        train: the data that the model was trained on.
        held_out: data that it was not trained on, nor chosen by.
        options: as for `risk`.

    Raises:
        ValueError, TypeError: as for `risk`.
    """
    seen, unseen = (risk(model, loss, data, **options) for data in (train, held_out))
    return Generalization(seen, unseen, less(unseen, seen.value))


def less(found: Estimate, number: float) -> Estimate:
    """An estimate less a number that is known."""
    return Estimate(
        value=found.value - number,
        lower=found.lower - number,
        upper=found.upper - number,
        confidence=found.confidence,
        samples=found.samples,
        interval=found.interval,
    )


def learning_curve(
    trained: Fit,
    loss: OfOutputs,
    train: tuple[Any, Any],
    held_out: Any,
    sizes: Sequence[int],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    confidence: float = 0.95,
) -> list[Size]:
    """Training and held-out risk over the size of the training set.

    For each seed the samples are put in an order of its own, and a larger training set holds all of
    a smaller one, so that sizes differ by what was added.

    Args:
        trained: from inputs, targets and the seed to a model trained on them.
        loss: as for `risk`.
        train: a pair of tensors (inputs, targets).
        held_out: as for `risk`.
        sizes: how many samples to train on.
        seeds: of order and training; two at least.
        confidence: of the intervals over seeds.

    Raises:
        ValueError: fewer than two seeds, or a size that is none of 1 to all samples.
    """
    data = Batch(*train)
    length = int(samples_of(data))
    if bad := [size for size in sizes if not 1 <= size <= length]:
        raise ValueError(f"learning_curve(sizes=...): {bad[0]} is not among 1 to {length} samples.")
    if len(seeds) < 2:
        raise ValueError("learning_curve(seeds=...): give two seeds at least, for the intervals.")
    found = []
    for size in sizes:
        rows = [means(trained, loss, data, held_out, size, seed) for seed in seeds]
        seen, unseen = (
            estimate(column, interval="student", confidence=confidence)
            for column in torch.tensor(rows, dtype=torch.float64).unbind(1)
        )
        found.append(Size(size, seen, unseen))
    return found


def means(
    trained: Fit, loss: OfOutputs, data: Batch, held_out: Any, size: int, seed: int
) -> tuple[float, float]:
    """Mean training and held-out loss after training on the first `size` samples of an order."""
    rows = torch.randperm(int(samples_of(data)), generator=torch.Generator().manual_seed(seed))[
        :size
    ]
    part = tree_map(lambda x: x[rows], data)
    model = trained(part.inputs, part.targets, seed)
    seen = losses_by_sample(model, loss, tuple(part))
    return seen.mean().item(), losses_by_sample(model, loss, held_out).mean().item()
