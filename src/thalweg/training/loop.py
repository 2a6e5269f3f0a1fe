"""The loop: for each epoch, for each batch, a step; then what was learned is measured.

It is all that goes on between two checkpoints. What it consists of is made by `fit`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from thalweg.operators.saved_random_state import random_state, restore_random
from thalweg.optim.companions import Average, averaged
from thalweg.training import checkpoint
from thalweg.training.batches import Drawn, Part, Source
from thalweg.training.history import Epoch, Fitted
from thalweg.training.metrics import Accumulated, OfOutputs, Values, evaluated
from thalweg.training.placement import OneDevice
from thalweg.training.progress import Show
from thalweg.training.stepping import Stepping
from thalweg.training.stopping import Stopping


@dataclass
class Saving:
    """Where and how often a run is saved.

    Attributes:
        path: of the checkpoint.
        every: steps between two.
        facts: what a run that continues must have too.
    """

    path: Path
    every: int
    facts: dict[str, Any]


@dataclass
class Loop:
    """A run, from the parts that `fit` made.

    Attributes:
        step: makes an update of some batches.
        train: where they come from.
        epochs: how many passes.
        accumulate: batches to a step.
        stopping: keeps the best.
        validation: held-out batches, if there are some.
        train_in_order: training batches to measure the true metric on, if that is wanted.
        metric: the true metric.
        scheduler: moves the learning rate.
        by_step: whether it does so after every step.
        average: keeps an average of the parameters, which then is what is measured.
        saving: where checkpoints go.
        history: what has been so far.
        epoch: the epoch at hand, from 0.
        position: its batches that are done.
    """

    step: Stepping
    train: Source
    epochs: int
    accumulate: int
    stopping: Stopping
    validation: Source | None = None
    train_in_order: Source | None = None
    metric: OfOutputs | Accumulated | None = None
    scheduler: LRScheduler | ReduceLROnPlateau | None = None
    by_step: bool = False
    average: Average | Optimizer | None = None
    saving: Saving | None = None
    history: Fitted = field(default_factory=Fitted)
    epoch: int = 0
    position: int = 0
    _began: dict[str, Any] = field(default_factory=dict)
    _losses: list[Tensor] = field(default_factory=list)

    @property
    def model(self) -> nn.Module:
        """As it is trained."""
        return self.step.objective.model

    @property
    def place(self) -> OneDevice:
        """Where."""
        return self.step.objective.place

    @property
    def bare(self) -> nn.Module:
        """The user's own model."""
        return self.place.bare(self.model)

    def run(self, show: Show) -> Fitted:
        """Train to the end; the model is left at the parameters that were measured last, or best.

        An epoch ends with its values; a run, where patience, the epochs or finite numbers end.
        """
        while not self.history.why:
            for parts in self.batches():
                self.update(parts)
                show(self.history)
            self.close_epoch()
            show(self.history)
        if not self.stopping.restore(self.bare) and self.average is not None:
            with self.at_average():
                state = [x.detach().clone() for x in tensors(self.bare)]
            put(self.bare, state)
        return self.history

    def batches(self) -> Iterator[list[Part]]:
        """The batches of each step of the epoch at hand, from where it stands."""
        now: dict[str, Any] | None = None
        if self.position:  # in mid-epoch: the same order is drawn again, from the same state
            now = self.random()
            self.restore_random(self._began)
        else:
            self._began = self.random() if self.saving else {}
        parts = self.train.parts(self.epoch, skip=self.position)
        if now is not None:
            self.restore_random(now)
        return iter(lambda: list(islice(parts, self.accumulate)), [])

    def update(self, parts: Sequence[Part]) -> None:
        """One step, what follows from it, and a checkpoint when it is time."""
        self._losses.append(self.step(parts))
        self.history.sizes.append(sum(part.total for part in parts))
        self.history.samples = self.step.objective.samples
        self.position += len(parts)
        if self.by_step and self.scheduler is not None and self.step.was_made:
            self.scheduler.step()
        if self.saving is not None and len(self.history.sizes) % self.saving.every == 0:
            self.save(self.saving)

    def settle(self) -> None:
        """Turn the losses of the last steps into numbers: once for many, for it waits for them."""
        if self._losses:
            local = torch.stack([loss.to(self.place.device) for loss in self._losses])
            self.history.losses += self.place.sum(local).tolist()
            self._losses = []

    def close_epoch(self) -> None:
        """Measure, note, and decide whether to go on."""
        self.settle()
        found = self.measured()
        self.history.epochs.append(found)
        value = found.validation_loss if self.metric is None else found.validation_metric
        if not self.by_step:
            self.schedule(found)
        self.history.why = self.reason(found)
        self.epoch, self.position = self.epoch + 1, 0
        self.history.best_epoch = self.stopping.epoch if value is not None else None
        if self.saving is not None:
            self.save(self.saving)

    def measured(self) -> Epoch:
        """The epoch's values, at the average if there is one; the best state is noted there."""
        done = self.history.epochs[-1].steps if self.history.epochs else 0
        losses, sizes = self.history.losses[done:], self.history.sizes[done:]
        if not sizes:
            raise ValueError("fit(train=...): an epoch had no batch; the loader gave none.")
        train_loss = math.fsum(map(math.prod, zip(losses, sizes, strict=True))) / sum(sizes)
        with self.at_average():
            train = self.values(self.train_in_order)
            held_out = self.values(self.validation)
            counts = held_out.loss if self.metric is None else held_out.metric
            if counts is not None and not math.isnan(held_out.loss):
                self.stopping.take(counts, self.epoch + 1, self.bare)
        return Epoch(
            number=self.epoch + 1,
            steps=self.history.steps,
            samples=self.history.samples,
            train_loss=train_loss,
            train_metric=train.metric,
            validation_loss=None if self.validation is None else held_out.loss,
            validation_metric=held_out.metric,
        )

    def values(self, source: Source | None) -> Values:
        """Surrogate loss and metric over all of a source."""
        if source is None:
            return Values(math.nan, None)
        objective = self.step.objective
        parts = source.parts(0)
        return evaluated(
            self.model, objective.loss, self.metric, parts, self.place, objective.precision
        )

    def at_average(self) -> AbstractContextManager[None]:
        """The model at the average; batch norm's statistics are gathered anew for it."""
        average = self.average
        if average is None or (isinstance(average, Average) and not average.values):
            return nullcontext()
        normalizes = any(isinstance(m, _BatchNorm) for m in self.model.modules())
        keeps = isinstance(average, Average) and average.model is not None
        loader = (p.batch for p in self.train.parts(0)) if normalizes and not keeps else None
        device: Any = self.place.device
        return averaged(average, model=self.bare, loader=loader, device=device)

    def schedule(self, found: Epoch) -> None:
        """Move the learning rate after an epoch."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            metric, held_out = found.validation_metric, found.validation_loss
            value = metric if metric is not None else held_out
            self.scheduler.step(found.train_loss if value is None else value)
        elif self.scheduler is not None:
            self.scheduler.step()

    def reason(self, found: Epoch) -> str:
        """Why the run ends here; nothing if it goes on."""
        if not math.isfinite(found.train_loss):
            return f"the surrogate loss was {found.train_loss} in epoch {found.number}"
        if self.stopping.is_over:
            if self.stopping.best is None:
                return f"what counts was not a number for {self.stopping.patience} epochs"
            return (
                f"no better for {self.stopping.patience} epochs: best was epoch "
                f"{self.stopping.epoch}, with {self.stopping.best:.6g}"
            )
        return "all epochs were made" if found.number >= self.epochs else ""

    def random(self) -> dict[str, Any]:
        """All generators that the run draws from."""
        own = [generator.get_state() for generator in self.train.generators()]
        return {**random_state(), "own": own}

    def restore_random(self, state: dict[str, Any]) -> None:
        """Put them back."""
        restore_random(state)
        for generator, value in zip(self.train.generators(), state["own"], strict=True):
            generator.set_state(value)

    def parts_with_state(self) -> dict[str, Any]:
        """Everything that changes as the run goes on, by name."""
        found = {
            "model": self.bare,
            "optimizer": self.step.optimizer,
            "scheduler": self.scheduler,
            "average": self.average if isinstance(self.average, Average) else None,
            "scaler": self.step.scaler,
            "stopping": self.stopping,
            "history": self.history,
        }
        return {name: part for name, part in found.items() if part is not None}

    def kinds(self) -> dict[str, Any]:
        """What the parts are, which a run that continues must have alike."""
        parts, stopping = self.parts_with_state(), self.stopping
        found: dict[str, Any] = {
            f"the {name}": type(parts[name]).__name__ if name in parts else None
            for name in ("scheduler", "average", "scaler")
        }
        way = "higher is better" if stopping.higher else "lower is better"
        return found | {
            "early stopping": None if stopping.patience is None else way,
            "generators of the data": len(self.train.generators()),
        }

    def save(self, saving: Saving) -> None:
        """Write a checkpoint; one process does."""
        self.settle()
        if self.place.rank:
            return
        states = {name: part.state_dict() for name, part in self.parts_with_state().items()}
        seed = self.train.seed if isinstance(self.train, Drawn) else None
        places = {"epoch": self.epoch, "position": self.position, "seed": seed}
        random = {"random": self.random(), "began": self._began}
        facts = {**saving.facts, **self.kinds()}
        checkpoint.write(saving.path, {"facts": facts, **places, **random, "parts": states})

    def resume(self, saving: Saving) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: it is broken, foreign, or of another run.
        """
        state = checkpoint.read(saving.path)
        checkpoint.check_same(saving.path, state["facts"], {**saving.facts, **self.kinds()})
        for name, part in self.parts_with_state().items():
            checkpoint.load(saving.path, name, part, state["parts"][name])
        if isinstance(self.train, Drawn):
            self.train = replace(self.train, seed=state["seed"])
        self.epoch, self.position, self._began = state["epoch"], state["position"], state["began"]
        self.history.resumed_at = self.history.steps
        self.step.objective.samples = self.history.samples
        if self.history.why:  # more epochs or more patience may be given than there were
            self.history.why = self.reason(self.history.epochs[-1])
        self.restore_random(state["random"])


def tensors(model: nn.Module) -> list[Tensor]:
    """Parameters and buffers."""
    return [*model.parameters(), *model.buffers()]


@torch.no_grad()
def put(model: nn.Module, values: Sequence[Tensor]) -> None:
    """Give parameters and buffers these values."""
    for x, value in zip(tensors(model), values, strict=True):
        x.copy_(value)
