"""Writes down what a session shows: every step's loss, and a few steps in full.

At a step in full the tape is on; the statistics of parameters, layers and activations are taken,
and the probes are called with the step still replayable.

Memory: the losses of 64 steps, and at a step in full one step's activations and two copies of the
parameters. On disk: about 60 bytes a step and a few kilobytes a step in full.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.recorder.entrances import Moments
from thalweg.recorder.examples import Examples
from thalweg.recorder.leaves import leaves_of, trainable, trained_by
from thalweg.recorder.names import Names
from thalweg.recorder.readings import Readings
from thalweg.recorder.rounds import Rounds
from thalweg.recorder.samples import Earlier, Measuring, Probe, Step, in_full
from thalweg.recorder.session import Call, Listener, Session
from thalweg.recorder.staleness import Staleness, Unused
from thalweg.recorder.statistics import number
from thalweg.recorder.summary import of_optimizer, of_parameters
from thalweg.recorder.tallies import ModeTally, TargetTally
from thalweg.recorder.tape import Tape, TapeRecorder

FLUSH = 64
PASSED = 512  # rows of steps that were passed over, which are kept together


@dataclass
class Before:
    """What an update is about to change: leaves, copies of their values, and of their gradients."""

    leaves: list[torch.Tensor]
    values: list[torch.Tensor]
    gradients: list[torch.Tensor | None]


class Recorder(Listener):
    """Records a session into a folder.

    Args:
        folder: Where ``steps.jsonl``, ``samples.jsonl``, ``readings.jsonl``, ``moments.npz`` and
            ``summary.json`` go; it must exist.
        script_folder: The folder whose lines count as the script's own.
        probes: Called at every step in full; what they return is kept under ``probes``.
        full: Whether steps in full are wanted at all (a mere trial needs only losses and readings).
        limit: Called with the number of steps made after each step; may raise to end the run.
        wanted: Whether the step of this number is written down in full; two steps to the octave
            by default.
        told: Called with what was written down of a step in full, and with its ``rate``.
    """

    only_looks: ClassVar[bool] = True

    def __init__(
        self,
        folder: Path,
        script_folder: Path,
        probes: Sequence[Probe] = (),
        full: bool = True,
        limit: Callable[[int], None] | None = None,
        wanted: Callable[[int], bool] = in_full,
        told: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> None:
        self._folder, self._probes, self._full = folder, probes, full
        self._wanted, self._told = wanted, told
        self._limit = limit or (lambda steps: None)
        self.tape = TapeRecorder()
        self.readings = Readings(str(script_folder))
        self._staleness, self._unused = Staleness(), Unused()
        self._modes, self._targets, self._moments = ModeTally(), TargetTally(), Moments()
        self._measuring, self._names, self._rounds = Measuring(), Names(), Rounds()
        self._examples, self._earlier = Examples(full), Earlier()
        self._pending: list[dict[str, Any]] = []
        self._losses: list[torch.Tensor] = []
        self._last: torch.Tensor | None = None
        self._in_step, self._is_first = False, True
        self._tapes: list[Tape] = []
        self._before: Before | None = None
        self._values: list[torch.Tensor] = []
        self._own_gradients: dict[int, torch.Tensor | None] = {}
        self._rate: float | None = 0.0
        self._norm: torch.Tensor | None = None

    def started(self, session: Session) -> None:
        """Open the files."""
        self._session = session
        self._began = time.perf_counter()
        self._steps_file = (self._folder / "steps.jsonl").open("w")
        self._samples_file = (self._folder / "samples.jsonl").open("w")
        self.readings.started(session)
        self.tape.on = self._full and self._wanted(0)

    @property
    def last_loss(self) -> float:
        """The loss of the latest update; not a number before there is one."""
        return math.nan if self._last is None else float(self._last)

    def rewrite(self, call: Call) -> None:
        """Prepare the tape for the call."""
        if self.tape.on:
            self.tape.rewrite(call)

    def called(self, call: Call, result: Any) -> None:
        """Follow the call on the tape, among the readings and at the entrances of data."""
        if self.tape.on:
            self.tape.called(call, result)
        self.readings.called(call, result)
        for one in (self._modes, self._targets, self._moments, self._examples):
            one.look(call)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Note the loss, and take the tape that ends in it."""
        self.readings.before_backward(loss)
        optimizers = self._session.optimizers
        self._staleness.look(optimizers, [] if optimizers else leaves_of(loss))
        if self._in_step and self._losses:
            return  # a closure evaluates again: the first loss is the step's
        if self._losses and self._unused.dropped():
            self._losses, self._tapes = [], []  # gradients that no update was made of
        self._losses.append(loss.detach())
        if self.tape.on:
            self._tapes.append(_checked(self.tape.take(loss)))
            self._names.add(trainable(leaves_of(loss), optimizers), trained_by(optimizers))

    def after_backward(self, loss: torch.Tensor) -> None:
        """Remember which gradients the next update is to be made of."""
        self._unused.remember(self._session.optimizers)

    def gradients(
        self, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
    ) -> Sequence[torch.Tensor | None]:
        """Keep the gradients that a program without an optimizer takes into its own hands."""
        self._own_gradients = {id(x): g for x, g in zip(leaves, gradients, strict=True)}
        return gradients

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Keep what the update is about to change."""
        self._in_step, self._is_first = optimizer is not None, True
        self._norm = _norm_of_gradient(optimizer) if self._full else None
        self._rate = 0.0 if optimizer is None else number(optimizer.param_groups[0].get("lr", 0.0))
        if self.tape.on:
            leaves = list({id(x): x for tape in self._tapes for x in tape.leaves}.values())
            if not leaves and optimizer is not None:  # a closure will tell which of these matter
                leaves = trained_by([optimizer])
            values = [leaf.detach().clone() for leaf in leaves]
            self._before = Before(leaves, values, [self._gradient(leaf) for leaf in leaves])
        if optimizer is None:  # the update ends unseen: the next forward pass begins here
            self._values = list(self.tape.values)
            self._begin(self._session.step_of(None) + 1)

    def evaluated(self, optimizer: Optimizer) -> None:
        """Keep the gradient of a closure's first evaluation: it is this step's."""
        if self._is_first:
            self._norm = _norm_of_gradient(optimizer) if self._full else None
            if self._before is not None:
                leaves = self._before.leaves
                self._before.gradients = [self._gradient(leaf) for leaf in leaves]
        self._is_first = False

    def _gradient(self, leaf: torch.Tensor) -> torch.Tensor | None:
        gradient = self._own_gradients.get(id(leaf), leaf.grad)
        return None if gradient is None else gradient.detach().clone()

    def _begin(self, step: int) -> None:
        """Make ready for a step: the tape is on if it is to be written down in full."""
        self.tape.clear()
        self.tape.on = self._full and self._wanted(step)

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Write the step down."""
        self._in_step = False
        step = self._session.step_of(optimizer) - 1
        which = next((i for i, o in enumerate(self._session.optimizers) if o is optimizer), 0)
        if self._losses:
            self._last = sum(self._losses[1:], self._losses[0])
        row = {"optimizer": which, "step": step, "rate": self._rate, "loss": self._last}
        if self._norm is not None:
            row["gradient"] = self._norm
        stale = self._staleness.stepped(optimizer)
        self._pending.append(row | ({"stale": True} if stale else {}))
        if self._tapes and self._before:
            self._write_sample(optimizer, which, step, self._before)
        self._losses, self._tapes, self._before, self._values = [], [], None, []
        unused = sum(not self._session.step_of(one) for one in self._session.optimizers)
        if optimizer is not None and self._rounds.ended_by(optimizer, unused):
            self._begin(step + 1)
        if len(self._pending) >= FLUSH:
            self._flush()
        self._limit(self._session.step)

    def pass_over(self, which: int, step: int, rate: Any, loss: float | None) -> None:
        """Note a step that nothing but its loss and its rate was seen of."""
        self._pending.append({"optimizer": which, "step": step, "rate": rate, "loss": loss})
        if len(self._pending) >= PASSED:
            self._flush()

    def ready(self, optimizer: Optimizer, step: int) -> bool:
        """After a step that was passed over: whether the next one is wanted in full."""
        unused = sum(not self._session.step_of(one) for one in self._session.optimizers)
        if self._rounds.ended_by(optimizer, unused):
            self._begin(step + 1)
        return self.tape.on

    def _write_sample(
        self, optimizer: Optimizer | None, which: int, step: int, before: Before
    ) -> None:
        leaves = before.leaves
        after = [leaf.detach() for leaf in leaves]
        made = Step(step, optimizer, self._tapes, leaves, before.values, after)
        made.earlier = self._earlier.of(which)
        values = self._values if optimizer is None else self.tape.values
        own = leaves if optimizer is None else trained_by(self._session.optimizers)
        names, trained = self._names.of(leaves), {id(p) for p in own}
        row = self._measuring.row(made, before.gradients, values, names, trained, self._probes)
        self._earlier.keep(which, self._tapes)
        self._samples_file.write(json.dumps({"optimizer": which} | row) + "\n")
        self._samples_file.flush()
        self._told({"optimizer": which, "rate": self._rate} | row)

    def _flush(self) -> None:
        for row in self._pending:
            loss = None if row["loss"] is None else number(row["loss"])
            norm = {"gradient": number(row["gradient"])} if "gradient" in row else {}
            rate = None if row["rate"] is None else number(row["rate"])
            told = row | {"rate": rate, "loss": loss} | norm
            self._steps_file.write(json.dumps(told) + "\n")
        self._pending.clear()
        self._steps_file.flush()

    def finished(self) -> None:
        """Write the rest."""
        self.readings.finished()
        self._flush()
        self._steps_file.close()
        self._samples_file.close()
        lines = [json.dumps(one.as_data()) + "\n" for one in self.readings.readings]
        (self._folder / "readings.jsonl").write_text("".join(lines))
        self._moments.write(self._folder / "moments.npz")
        (self._folder / "summary.json").write_text(json.dumps(self._summary(), indent=1))

    def _summary(self) -> dict[str, Any]:
        optimizers, leaves = self._session.optimizers, self._names.leaves
        return {
            "steps": [self._session.step_of(one) for one in optimizers]
            or [self._session.step_of(None)],
            "seconds": time.perf_counter() - self._began,
            "optimizers": [of_optimizer(one) for one in optimizers],
            **of_parameters(leaves, self._names, optimizers),
            "modes": self._modes.counts,
            "target_means": self._targets.means,
            "target_counts": self._targets.counts,
            "agreement": self._examples.summary(),
            "trouble": self._measuring.trouble[:20],
        }


def _norm_of_gradient(optimizer: Optimizer | None) -> torch.Tensor | None:
    """The Euclidean norm of the gradient that an update is about to use; None if there is none."""
    params = [] if optimizer is None else trained_by([optimizer])
    found = [p.grad for p in params if p.grad is not None and not p.grad.is_sparse]
    return torch.nn.utils.get_total_norm(found) if found else None


def _checked(tape: Tape) -> Tape:
    """The tape, with its flaw if it cannot be played."""
    try:
        tape.check()
    except Exception as error:  # replaying may fail in any way that the program's calls can
        tape.flaw = tape.flaw or f"{type(error).__name__}: {error}"
    return tape
