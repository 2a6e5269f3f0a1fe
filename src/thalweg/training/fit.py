r"""Empirical risk minimization with a surrogate loss, and the true metric tracked apart.

What counts, the risk E L(f(x; w), y) over all data there might be, cannot be computed; what stands
for it twice over is the mean of a loss that has a derivative over the samples at hand:

    w <- w - lr * grad 1/B sum_(i in batch) loss(f(x_i; w), y_i)

The true metric, the 0-1 loss for instance, is measured on held-out data after every epoch, and
decides when to stop and which parameters are kept.

Reference: Goodfellow, Bengio & Courville, Deep Learning (2016), sections 8.1 and 7.8; Bottou,
Curtis & Nocedal (2018), Optimization methods for large-scale machine learning.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from thalweg.optim import Adam, Average
from thalweg.optim.forms.sharded import is_sharded
from thalweg.training import checkpoint as checkpoints
from thalweg.training.arguments import check_kinds, check_optimizes
from thalweg.training.batches import Loaded, Shuffle, Source, is_count, source_of
from thalweg.training.history import Fitted
from thalweg.training.loop import Loop, Saving
from thalweg.training.metrics import Accumulated, OfOutputs, is_higher_better
from thalweg.training.objective import Objective, Penalty
from thalweg.training.placement import OneDevice, placement_of
from thalweg.training.precision import Precision, check_precision, scaler_for
from thalweg.training.progress import shown
from thalweg.training.stepping import Clip, Stepping, searches, takes_pairs
from thalweg.training.stopping import Stopping

# Samples to a batch where no gradient is needed.
EVALUATED_AT_ONCE = 256


def fit(
    model: nn.Module,
    loss: OfOutputs,
    train: Any,
    validation: Any = None,
    optimizer: Optimizer | Callable[..., Optimizer] = Adam,
    *,
    epochs: int = 10,
    batch_size: int | Literal["all"] | None = None,
    shuffle: Shuffle | None = None,
    metric: OfOutputs | Accumulated | None = None,
    better: Literal["lower", "higher"] | None = None,
    train_metric: bool = False,
    patience: int | None = None,
    penalty: Penalty | None = None,
    clip: Clip | None = None,
    scheduler: LRScheduler | ReduceLROnPlateau | None = None,
    schedule: Literal["epoch", "step"] = "epoch",
    average: Average | Optimizer | None = None,
    accumulate: int = 1,
    precision: Precision | None = None,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: int = 100,
    resume: bool = True,
    seed: int | None = None,
    accelerator: Any = None,
    progress: bool = False,
) -> Fitted:
    """Train a model.

    Args:
        model: in the mode that it is trained in; one that is in eval mode as a whole is put into
            train mode. Modules that are in eval mode within it stay so.
        loss: the surrogate, from outputs and targets to their mean loss, a scalar.
        train: a pair of tensors (inputs, targets); a `Dataset`; or a `DataLoader`, or a list of
            batches, with its own size of batches and order. A batch is a pair. Inputs that are a
            tuple are positional arguments of the model, those that are a mapping go by name.
        validation: the same, held out; measured after each epoch.
        optimizer: an optimizer of the model's parameters, or what makes one of them.
        epochs: passes over the training data, at the most.
        batch_size: samples to a gradient: "all" is batch learning, 1 online; 32 if None.
        shuffle: "each-epoch" if None, "once" or "never".
        metric: what counts: from outputs and targets to one value a sample, or to their mean, such
            as `thalweg.training.losses.zero_one_loss`; or an object of torchmetrics. If None, the
            surrogate loss counts.
        better: which way the metric gets better; as it says itself (torchmetrics), or "lower".
        train_metric: measure the metric on the training data too, in another pass.
        patience: stop after so many epochs without a better value on the validation data, and give
            the model back the parameters that were best.
        penalty: from the model to a number that is added to the loss of each step, lambda C(w).
        clip: what is done to the gradient before the step: `ClipNorm(1.0)`, `ClipValue(0.1)`, or a
            function of the list of parameters.
        scheduler: any of torch's, of the optimizer's learning rate.
        schedule: when it moves, after each "epoch" or each "step". A ReduceLROnPlateau gets what
            counts on the validation data, or else the mean loss of the epoch.
        average: an average of the optimizer's iterates (`thalweg.optim.PolyakAverage`,
            `StochasticWeightAverage`, `ExponentialAverage`), or an optimizer that keeps one; it is
            what is measured and what the model ends at. Batch norm's statistics are gathered anew
            for it, unless the average keeps them.
        accumulate: batches to a step, whose gradient is that of one batch of all their samples.
        precision: "bf16" or "fp16" for products in 16 bits; parameters stay in 32.
        checkpoint: a file that the run is saved to; if there is one, the run continues from it,
            bit for bit.
        checkpoint_every: steps between two checkpoints; there is one after each epoch besides.
        resume: whether to continue from a checkpoint that is there, or to overwrite it.
        seed: of the order of samples; drawn from torch's global generator if None.
        accelerator: an `accelerate.Accelerator`, for its devices and processes. Each batch is
            spread over the processes; a `DataLoader` gives each of them batches of its own.
        progress: show a bar (needs rich).

    Returns:
        The history. The model is trained in place.

    Raises:
        ValueError: an argument that cannot be, or two that do not go together.
        TypeError: data or another argument of another kind.
        CheckpointError: the checkpoint is cut, foreign or of another run, or cannot be written.
    """
    check_kinds({
        "model": model, "loss": loss, "optimizer": optimizer, "metric": metric, "penalty": penalty,
        "clip": clip, "scheduler": scheduler, "patience": patience, "seed": seed,
    })  # fmt: skip
    check(epochs, accumulate, checkpoint_every, schedule)
    check_precision(precision)
    place = placement_of(model, accelerator)
    stepper = optimizer if isinstance(optimizer, Optimizer) else optimizer(model.parameters())
    check_optimizes(model, stepper)
    check_together(stepper, precision, clip, accumulate, penalty, place, checkpoint)
    if schedule == "step" and isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError("fit(schedule='step'): a ReduceLROnPlateau moves after an 'epoch'.")
    if patience is not None and validation is None:
        raise ValueError("fit(patience=...): give validation= data, which says when to stop.")
    if not any(module.training for module in model.modules()):
        model.train()
    # Drawn in any case, so that a seed given or not leaves the same numbers to what comes after.
    drawn = int(torch.randint(2**62, ()))
    order = drawn if seed is None else seed
    data = prepared(train, batch_size, shuffle, order, place)
    trained, stepper = place.prepare(model, stepper)
    scaler = scaler_for(precision, place.device)
    objective = Objective(trained, loss, place, precision, penalty)
    if scaler is not None:
        objective.scale = scaler.scale
    loop = Loop(
        step=Stepping(objective, stepper, clip, scaler),
        train=data,
        epochs=epochs,
        accumulate=accumulate,
        stopping=Stopping(patience, is_higher_better(metric, better)),
        validation=None if validation is None else in_order(validation, place),
        train_in_order=in_order(train, place) if train_metric else None,
        metric=metric,
        scheduler=scheduler,
        by_step=schedule == "step",
        average=average,
    )
    if checkpoint is not None:
        facts = facts_of(model, stepper, data, accumulate, seed)
        loop.saving = Saving(Path(fspath(checkpoint)), checkpoint_every, facts)
        begin(loop, loop.saving, resume)
    with shown(epochs, progress and place.rank == 0) as show:
        return loop.run(show)


def check(epochs: int, accumulate: int, checkpoint_every: int, schedule: str) -> None:
    """Refuse numbers that count nothing, and an unknown schedule.

    Raises:
        ValueError: one of them.
    """
    counts = {"epochs": epochs, "accumulate": accumulate, "checkpoint_every": checkpoint_every}
    for name, value in counts.items():
        if not is_count(value):
            raise ValueError(f"fit({name}={value!r}): give a whole number >= 1.")
    if schedule not in ("epoch", "step"):
        raise ValueError(f"fit(schedule={schedule!r}): give 'epoch' or 'step'.")


def check_together(
    optimizer: Optimizer,
    precision: str | None,
    clip: Clip | None,
    accumulate: int,
    penalty: Penalty | None,
    place: OneDevice,
    checkpoint: object,
) -> None:
    """Refuse settings that would make each other mean something else.

    Raises:
        ValueError: two that do not go together; the message says which, and what to do.
    """
    name = type(optimizer).__name__
    refusals = {
        f"optimizer={name}, clip=...: it compares losses, which a clipped gradient does not "
        "describe; leave clip away, for its search bounds the step": clip and searches(optimizer),
        f"optimizer={name}, precision='fp16': a scaled loss and its search do not agree; take "
        "'bf16', which needs no scaling": precision == "fp16" and searches(optimizer),
        f"optimizer={name}(loss=...), accumulate or penalty: it is given the model's output for "
        "one batch; take a larger batch, and its own penalty=": takes_pairs(optimizer)
        and (accumulate > 1 or penalty),
        "precision=..., accelerator=...: say it to the accelerator alone, "
        "Accelerator(mixed_precision=...)": precision and place.world > 1,
        "checkpoint=..., a model in shards: no process has all of its state; use "
        "accelerator.save_state or torch.distributed.checkpoint": checkpoint
        and (in_shards(place) or any(map(is_sharded, parameters(optimizer)))),
    }
    for says, holds in refusals.items():
        if holds:
            raise ValueError(f"fit({says}.")


def parameters(optimizer: Optimizer) -> list[torch.Tensor]:
    """What it moves."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def in_shards(place: OneDevice) -> bool:
    """Whether an accelerator is going to spread parameters over processes."""
    kind = getattr(getattr(place, "accelerator", None), "distributed_type", "NO")
    return str(getattr(kind, "value", kind)) in ("FSDP", "DEEPSPEED", "MEGATRON_LM")


def prepared(
    data: Any, batch_size: Any, shuffle: Shuffle | None, seed: int, place: OneDevice
) -> Source:
    """The batches of training data for this process."""
    found = source_of(data, batch_size, shuffle, seed=seed, rank=place.rank, world=place.world)
    return shared(found, place)


def shared(found: Any, place: OneDevice) -> Source:
    """A loader is spread over processes by their placement; samples by number are already."""
    source: Source = (
        Loaded(place.loader(found.loader), found.world) if isinstance(found, Loaded) else found
    )
    return source


def in_order(data: Any, place: OneDevice) -> Source:
    """The batches of data that is measured on: its own order, or a loader's."""
    by_number = isinstance(data, torch.utils.data.Dataset) or (
        isinstance(data, tuple) and len(data) == 2
    )
    size = EVALUATED_AT_ONCE if by_number else None
    return prepared(data, size, "never" if by_number else None, 0, place)


def facts_of(
    model: nn.Module, optimizer: Optimizer, train: Source, accumulate: int, seed: int | None
) -> dict[str, Any]:
    """What a run that continues another one must have in common with it."""
    return {
        "the model's tensors": {n: tuple(x.shape) for n, x in model.state_dict().items()},
        "the optimizer": type(optimizer).__name__,
        "the training data": train.name,
        "accumulate": accumulate,
        "seed": seed,
    }


def begin(loop: Loop, saving: Saving, resume: bool) -> None:
    """Continue from a checkpoint that is there, or save the beginning."""
    if not saving.path.parent.is_dir():
        raise checkpoints.CheckpointError(
            f"fit(checkpoint={str(saving.path)!r}): there is no folder {saving.path.parent}."
        )
    if loop.place.rank == 0:
        checkpoints.remove_partial(saving.path)
    if resume and saving.path.exists():
        loop.resume(saving)
