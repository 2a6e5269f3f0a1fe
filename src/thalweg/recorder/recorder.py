"""Writes down what a session shows: every step's loss, and a few steps in full.

Steps in full are spaced two to the octave (0, 1, 2, 3, 4, 6, 8, 12, 16 ...), so that a run of any
length has its beginning resolved and costs a bounded number of them: about 2 log2(steps). At such a
step the tape is on; the statistics of parameters, layers and activations are taken, and the probes
are called with the step still replayable.

Memory: the losses of 64 steps, and at a step in full one step's activations and two copies of the
parameters. On disk: about 60 bytes a step and a few kilobytes a step in full.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import Optimizer

from thalweg.recorder.anatomy import LAYERS, plain
from thalweg.recorder.names import names_of
from thalweg.recorder.readings import LOSSES, Readings
from thalweg.recorder.session import Call, Listener, Session, leaves_of
from thalweg.recorder.staleness import Staleness
from thalweg.recorder.statistics import anatomy, number, parameter
from thalweg.recorder.tape import Tape, TapeError, TapeRecorder

FLUSH = 64
MOMENT_ROWS = 5000
MODES = {"batch_norm": (5, False), "dropout": (2, True)}  # where the flag stands, and its default
SECOND_MOMENT_FEATURES = 256
TARGET_MEANS = 2000
ENDINGS = LOSSES | {"sub", "__sub__", "rsub", "__rsub__"}


def in_full(step: int) -> bool:
    """Whether this step is written down in full: two steps to the octave."""
    if step < 4:
        return True
    power = 1 << (step.bit_length() - 1)
    return step in (power, power + power // 2)


@dataclass
class Step:
    """One step while it can still be replayed; what a probe is given.

    Attributes:
        number: How many updates of this optimizer came before.
        optimizer: Who made the update; None if the program did.
        tapes: One for each backward pass since the last update.
        before: The leaves' values before the update, in the order of ``tapes[-1].leaves``.
        after: Their values after it.
    """

    number: int
    optimizer: Optimizer | None
    tapes: list[Tape]
    leaves: list[torch.Tensor]
    before: list[torch.Tensor]
    after: list[torch.Tensor]

    def loss(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        """The step's loss (the sum over its backward passes) with the leaves at these values.

        Raises:
            TapeError: If the step cannot be replayed.
        """
        by_identity = {id(leaf): value for leaf, value in zip(self.leaves, values, strict=True)}
        total = None
        for tape in self.tapes:
            given = {i: by_identity[id(leaf)] for i, leaf in enumerate(tape.leaves)}
            part = tape.loss(given)
            total = part if total is None else total + part
        if total is None:
            raise TapeError("no backward pass was recorded in this step")
        return total


Probe = Callable[[Step], Mapping[str, Any]]


class Recorder(Listener):
    """Records a session into a folder.

    Args:
        folder: Where ``steps.jsonl``, ``samples.jsonl``, ``readings.jsonl``, ``moments.npz`` and
            ``summary.json`` go; it must exist.
        script_folder: The folder whose lines count as the script's own.
        probes: Called at every step in full; what they return is kept under ``probes``.
        full: Whether steps in full are wanted at all (a mere trial needs only losses and readings).
        limit: Called with the number of steps made after each step; may raise to end the run.
    """

    def __init__(
        self,
        folder: Path,
        script_folder: Path,
        probes: Sequence[Probe] = (),
        full: bool = True,
        limit: Callable[[int], None] | None = None,
    ) -> None:
        self._folder, self._probes, self._full = folder, probes, full
        self._limit = limit or (lambda steps: None)
        self.tape = TapeRecorder()
        self.readings = Readings(str(script_folder))
        self._staleness = Staleness()
        self._pending: list[tuple[int, int, torch.Tensor | None, float, bool]] = []
        self._losses: list[torch.Tensor] = []
        self._last: torch.Tensor | None = None
        self._in_step = False
        self._tapes: list[Tape] = []
        self._copies: tuple[list[torch.Tensor], list[torch.Tensor], list[Any]] | None = None
        self._moments: dict[int, list[Any]] = {}
        self._all_leaves: dict[int, torch.Tensor] = {}
        self._known_names: dict[int, str] = {}
        self._values: list[torch.Tensor] = []
        self._own_gradients: dict[int, torch.Tensor | None] = {}
        self._rate = 0.0
        self._trouble: list[str] = []
        self._modes: dict[str, int] = {}
        self._target_means: list[float] = []

    def started(self, session: Session) -> None:
        """Open the files."""
        self._session = session
        self._began = time.perf_counter()
        self._steps_file = (self._folder / "steps.jsonl").open("w")
        self._samples_file = (self._folder / "samples.jsonl").open("w")
        self.readings.started(session)
        self.tape.on = self._full

    def rewrite(self, call: Call) -> None:
        """Prepare the tape for the call."""
        if self.tape.on:
            self.tape.rewrite(call)

    def called(self, call: Call, result: Any) -> None:
        """Follow the call on the tape, among the readings and at the entrances of data."""
        if self.tape.on:
            self.tape.called(call, result)
        self.readings.called(call, result)
        self._note_mode(call)
        if plain(call.name) in ENDINGS and torch.is_grad_enabled():
            self._note_targets(call)
        if plain(call.name) in LAYERS and torch.is_grad_enabled():
            self._measure_data(call)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Note the loss, and take the tape that ends in it."""
        optimizers = self._session.optimizers
        self._staleness.look(optimizers, [] if optimizers else leaves_of(loss))
        if self._in_step and self._losses:
            return  # a closure evaluates again: the first loss is the step's
        self._losses.append(loss.detach())
        if not self.tape.on:
            return
        tape = self.tape.take(loss)
        try:
            tape.check()
        except Exception as error:  # replaying may fail in any way that the program's calls can
            tape.flaw = tape.flaw or f"{type(error).__name__}: {error}"
        self._tapes.append(tape)
        self._all_leaves |= {id(leaf): leaf for leaf in leaves_of(loss)}

    def gradients(
        self, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
    ) -> Sequence[torch.Tensor | None]:
        """Keep the gradients that a program without an optimizer takes into its own hands."""
        self._own_gradients = {id(x): g for x, g in zip(leaves, gradients, strict=True)}
        return gradients

    def _gradient(self, leaf: torch.Tensor) -> torch.Tensor | None:
        gradient = self._own_gradients.get(id(leaf), leaf.grad)
        return None if gradient is None else gradient.detach().clone()

    def _begin(self, step: int) -> None:
        """Make ready for a step: the tape is on if it is to be written down in full."""
        self.tape.clear()
        self.tape.on = self._full and in_full(step)

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Keep what the update is about to change."""
        self._in_step = optimizer is not None
        self._rate = _rate(optimizer)
        if self.tape.on:
            leaves = list({id(x): x for tape in self._tapes for x in tape.leaves}.values())
            if not leaves and optimizer is not None:  # a closure will tell which of these matter
                leaves = [p for group in optimizer.param_groups for p in group["params"]]
            before = [leaf.detach().clone() for leaf in leaves]
            grads = [self._gradient(leaf) for leaf in leaves]
            self._copies = (leaves, before, grads)
        if optimizer is None:  # the update ends unseen: the next forward pass begins here
            self._values = list(self.tape.values)
            self._begin(self._session.step_of(None) + 1)

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Write the step down."""
        self._in_step = False
        number_ = self._session.step_of(optimizer) - 1
        which = next((i for i, o in enumerate(self._session.optimizers) if o is optimizer), 0)
        if self._losses:
            self._last = sum(self._losses[1:], self._losses[0])
        stale = self._staleness.stepped(optimizer)
        self._pending.append((which, number_, self._last, self._rate, stale))
        if self._tapes and self._copies:
            self._write_sample(optimizer, which, number_)
        self._losses, self._tapes, self._copies, self._values = [], [], None, []
        if optimizer is not None:
            self._begin(number_ + 1)
        if len(self._pending) >= FLUSH:
            self._flush()
        self._limit(self._session.step)

    def finished(self) -> None:
        """Write the rest."""
        self._flush()
        self._steps_file.close()
        self._samples_file.close()
        lines = [json.dumps(one.as_data()) + "\n" for one in self.readings.readings]
        (self._folder / "readings.jsonl").write_text("".join(lines))
        self._write_moments()
        (self._folder / "summary.json").write_text(json.dumps(self._summary(), indent=1))

    def _flush(self) -> None:
        for which, step, loss, rate, stale in self._pending:
            row = {"optimizer": which, "step": step, "rate": rate}
            row["loss"] = None if loss is None else number(loss)
            if stale:
                row["stale"] = True
            self._steps_file.write(json.dumps(row) + "\n")
        self._pending.clear()
        self._steps_file.flush()

    def _write_sample(self, optimizer: Optimizer | None, which: int, step: int) -> None:
        assert self._copies is not None  # noqa: S101  (narrowing for the type checker)
        leaves, before, grads = self._copies
        after = [leaf.detach() for leaf in leaves]
        names = self._names(leaves)
        row: dict[str, Any] = {"optimizer": which, "step": step}
        loss = sum((tape.value for tape in self._tapes[1:]), self._tapes[0].value)
        row["loss"] = number(loss)
        row["flaw"] = next((tape.flaw for tape in self._tapes if tape.flaw), "")
        row["passes"] = len(self._tapes)
        trained = {id(p) for o in self._session.optimizers for g in o.param_groups for p in g["params"]}
        row["parameters"] = [
            parameter(*one) | {"trained": id(leaf) in trained or optimizer is None}
            for leaf, one in zip(leaves, zip(names, before, grads, after, strict=True), strict=True)
        ]
        values = self._values if optimizer is None else self.tape.values
        tape = self._tapes[-1]
        own = [next(i for i, x in enumerate(leaves) if x is leaf) for leaf in tape.leaves]
        found = [before[i] for i in own]
        called = [names[i] for i in own]
        with torch._C.DisableTorchFunction(), torch.enable_grad():
            row |= self._guarded("anatomy", lambda: anatomy(tape, found, values, called))
            made = Step(step, optimizer, self._tapes, leaves, before, after)
            row["probes"] = {}
            if not row["flaw"]:
                for probe in self._probes:
                    row["probes"] |= self._guarded(probe.__name__, lambda p=probe: p(made))
        self._samples_file.write(json.dumps(row) + "\n")
        self._samples_file.flush()

    def _names(self, leaves: list[torch.Tensor]) -> list[str]:
        """The leaves' names; looked up once, since looking goes through every living object."""
        if any(id(leaf) not in self._known_names for leaf in leaves):
            self._all_leaves |= {id(leaf): leaf for leaf in leaves}
            everything = list(self._all_leaves.values())
            self._known_names = {
                id(leaf): name for leaf, name in zip(everything, names_of(everything), strict=True)
            }
        return [self._known_names[id(leaf)] for leaf in leaves]

    def _guarded(self, what: str, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What was measured; a measurement that fails is noted and never breaks the program."""
        try:
            return dict(measure())
        except Exception as error:
            self._trouble.append(f"{what}: {type(error).__name__}: {error}")
            return {}

    def _note_mode(self, call: Call) -> None:
        """Count the calls that behave differently in training and evaluation, by how they ran."""
        name = plain(call.name)
        if name in MODES:
            position, default = MODES[name]
            given = call.args[position] if len(call.args) > position else call.kwargs.get("training", default)
            where = "training" if torch.is_grad_enabled() else "evaluation"
            key = f"{name} {'active' if given else 'passive'} in {where}"
            self._modes[key] = self._modes.get(key, 0) + 1

    def _note_targets(self, call: Call) -> None:
        """Keep the mean target of a minibatch: what tells data in order from shuffled data."""
        if len(self._target_means) >= TARGET_MEANS:
            return
        given = [*call.args[:2], call.kwargs.get("input"), call.kwargs.get("target")]
        tensors = [one for one in given if isinstance(one, torch.Tensor) and one.numel() > 1]
        if len(tensors) == 2 and tensors[0].requires_grad != tensors[1].requires_grad:
            target = tensors[1] if tensors[0].requires_grad else tensors[0]
            mean = number(target.detach().double().mean())
            if mean is not None:
                self._target_means.append(mean)

    def _measure_data(self, call: Call) -> None:
        """Sum up the moments of the data that enters, by the weight that it meets."""
        entrance = entrance_of(call)
        if entrance is None:
            return
        data, weight = entrance
        sums = self._moments.setdefault(id(weight), [0, 0.0, 0.0, None, weight])
        table = features_last(data)
        if sums[0] < MOMENT_ROWS and (not sums[0] or sums[1].shape == table.shape[1:]):
            sums[0] += len(table)
            sums[1] = sums[1] + table.sum(0)
            sums[2] = sums[2] + table.square().sum(0)
            if data.dim() < 4 and table.shape[1] <= SECOND_MOMENT_FEATURES:
                product = table.T @ table
                sums[3] = product if sums[3] is None else sums[3] + product

    def _write_moments(self) -> None:
        arrays: dict[str, Any] = {}
        for at, (count, total, squares, second, _) in enumerate(self._moments.values()):
            if count:
                if second is not None:
                    arrays[f"second{at}"] = (second / count).numpy()
                mean = total / count
                arrays[f"mean{at}"] = mean.numpy()
                arrays[f"std{at}"] = (squares / count - mean.square()).clamp_min(0).sqrt().numpy()
                arrays[f"count{at}"] = np.array(count)
        np.savez(self._folder / "moments.npz", **arrays)

    def _summary(self) -> dict[str, Any]:
        optimizers = self._session.optimizers
        leaves = list(self._all_leaves.values())
        trained = {id(p) for o in optimizers for g in o.param_groups for p in g["params"]}
        names = self._names(leaves)
        untrained = [n for n, x in zip(names, leaves, strict=True) if id(x) not in trained]
        unreached = [
            x for o in optimizers for g in o.param_groups for x in g["params"]
            if id(x) not in self._all_leaves and x.grad is None
        ]  # fmt: skip
        return {
            "steps": [self._session.step_of(one) for one in optimizers or [None]],
            "seconds": time.perf_counter() - self._began,
            "optimizers": [_describe(one) for one in optimizers],
            "untrained": untrained if optimizers else [],
            "unreached": names_of(unreached) if leaves else [],
            "parameters": sum(leaf.numel() for leaf in leaves),
            "modes": self._modes,
            "target_means": self._target_means,
            "device": str(leaves[0].device) if leaves else "cpu",
            "trouble": self._trouble[:20],
        }


def entrance_of(call: Call) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The data and the weight of a layer whose data depends on no parameter, else None."""
    tensors = [one for one in call.args if isinstance(one, torch.Tensor)]
    if len(tensors) < 2 and call.name in ("rnn_tanh", "rnn_relu", "lstm", "gru"):
        tensors += [one for part in call.args if isinstance(part, list) for one in part[:1]]
    weight = next((one for one in tensors if one.requires_grad and one.is_leaf), None)
    if weight is None:
        weight = next(
            (p[0] for p in call.args if isinstance(p, list | tuple) and p
             and isinstance(p[0], torch.Tensor) and p[0].requires_grad), None)  # fmt: skip
    data = tensors[0] if tensors and tensors[0] is not weight else None
    if weight is None or data is None or data.requires_grad or not data.is_floating_point():
        return None
    return (data, weight) if data.dim() >= 1 and data.numel() else None


def features_last(data: torch.Tensor) -> torch.Tensor:
    """Data as (observations, features) in float64 on the CPU; channels are features of images."""
    data = data.detach()
    if data.dim() in (4, 5):
        data = data.movedim(1, -1)
    if data.dim() == 1:
        data = data.unsqueeze(0)
    return data.reshape(-1, data.shape[-1]).to("cpu", torch.float64)


def _rate(optimizer: Optimizer | None) -> float:
    return 0.0 if optimizer is None else float(optimizer.param_groups[0].get("lr", 0.0))


def _describe(optimizer: Optimizer) -> dict[str, Any]:
    settings = {
        key: value if isinstance(value, int | float | bool | str | None) else str(value)
        for key, value in optimizer.param_groups[0].items()
        if key != "params"
    }
    betas = optimizer.param_groups[0].get("betas")
    if isinstance(betas, tuple):
        settings["betas"] = [float(b) for b in betas]
    return {"kind": type(optimizer).__name__, "settings": settings,
            "groups": len(optimizer.param_groups)}  # fmt: skip
