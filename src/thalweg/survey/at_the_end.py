"""What stands around a script whose networks are to be pruned when it has trained them.

A first run counts the updates and finds the call from which on weights stay as they are. At that
call (or at the script's end) of a second run the program branches: every branch prunes what it
evaluates from then on, and goes on to the end as the script would. Where processes cannot be
forked, a run has one branch, which it is itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from thalweg.recorder import Listener, Recorder, Session
from thalweg.recorder.readings import Readings
from thalweg.survey.branches import branch, one_thread
from thalweg.survey.last_batches import UPDATES, Inputs, LastLosses
from thalweg.survey.last_change import LastChange
from thalweg.survey.outermost import Tell, watch_outermost
from thalweg.survey.pruner import Pruner, has_layers, layers, own
from thalweg.trials.runner import cores

RECORD = "thalweg.survey.at_the_end:record"
PRUNE = "thalweg.survey.at_the_end:prune_at_the_end"
CALL, FOUND, SAVED = "call.json", "found.json", "pruned.pt"

Data = dict[str, Any]


@contextmanager
def record(folder: Path, trial: Data) -> Iterator[None]:
    """Record updates and readings into ``folder``, and the call that is looked for."""
    recorder = Recorder(folder, folder_of(trial), wanted=lambda step: step == 0)
    last = LastChange()
    with one_thread(), watched(last.entered), Session([recorder, last]):
        yield
    (folder / CALL).write_text(json.dumps(last.at))


def folder_of(trial: Data) -> Path:
    """Where the script is."""
    return Path(trial["script"]).absolute().parent


@dataclass(frozen=True)
class Plan:
    """What is to be pruned, and when.

    Attributes:
        updates: How many the script makes.
        call: The number of the call to branch at; None for the script's end.
        points: ``method`` (or None), ``sparsity`` and whether to ``save`` it; one for each branch.
        measure: Site and kind of what the script measures itself by.
        pattern: As `thalweg.pruning.prune` takes it.
        fork: Whether to branch; else there is one point, and this process prunes.
        until: A value of ``time.monotonic()`` at which branches that are left are ended.
    """

    updates: int
    call: int | None
    points: Sequence[Data]
    measure: Sequence[str] | None
    pattern: Any
    fork: bool
    until: float

    @property
    def form(self) -> Any:
        """The pattern, which comes as a list where it is one of blocks."""
        return self.pattern if isinstance(self.pattern, str) else tuple(self.pattern)


@contextmanager
def prune_at_the_end(folder: Path, trial: Data, **plan: Any) -> Iterator[None]:
    """Prune in branches, and write what each comes to into a folder of its own.

    Args:
        folder: Of the trial; ``found.json`` in it is of the program as it is, ``0/found.json`` of
            the first branch.
        trial: As plain data.
        **plan: Of `Plan`.
    """
    made = Plan(**plan)
    readings, losses = Readings(str(folder_of(trial))), LastLosses(made.updates)
    ending = Ending(folder, made, readings, losses)
    with one_thread(), watched(ending.entered), Session([readings, losses, ending]):
        try:
            yield
        finally:
            ending.ended()


@contextmanager
def watched(tell: Tell) -> Iterator[None]:
    """Tell of the outermost calls of networks."""
    undo = watch_outermost(tell)
    try:
        yield
    finally:
        undo()


class Ending(Listener):
    """Waits for the call, branches, and says what became of each branch."""

    only_looks: ClassVar[bool] = True

    def __init__(self, folder: Path, plan: Plan, readings: Readings, losses: LastLosses) -> None:
        self._folder, self._plan = folder, plan
        self._readings, self._losses = readings, losses
        self._calls = self._made = 0
        self._over = self._busy = False
        self._inputs: dict[int, Inputs] = {}
        self._pruner: Pruner | None = None
        self._point: Data = {}

    def started(self, session: Session) -> None:
        """Remember it."""
        self._session = session

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Count; of an update by hand the end is told too late."""
        if optimizer is None:
            self._updated()

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Count."""
        if optimizer is not None:
            self._updated()

    def _updated(self) -> None:
        self._made += 1
        self._readings.forget()  # what counts is what is read when training is over

    def entered(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A network is about to be called."""
        if self._busy:
            return
        self._busy = True
        try:
            self._calls += 1
            if self._calls == self._plan.call:
                self._branch()
            if self._over:
                self._prune(lambda pruner: pruner.look(module))
            elif torch.is_grad_enabled() and self._made >= self._plan.updates - UPDATES:
                self._keep(module, args, kwargs)
        finally:
            self._busy = False

    def ended(self) -> None:
        """The script is over."""
        self._busy = True
        if not self._over:
            self._branch()
        self._prune(Pruner.finish)
        self._write({})
        if self._point and self._plan.fork:
            leave()

    def _keep(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        known = self._inputs.get(id(module))
        if known is None and not has_layers(module):
            return
        self._inputs.setdefault(id(module), known or Inputs(module)).add(args, kwargs)

    def _branch(self) -> None:
        """Go on as the branches, one after the other or side by side, and then as the program."""
        self._over = True
        if not self._inputs:
            return
        number = 0 if self._plan.points else None
        if self._plan.fork:
            folders = [self._folder / str(number) for number in range(len(self._plan.points))]
            number = branch(folders, cores(), self._plan.until)
        if number is not None:
            self._folder = self._folder / str(number)
            self._folder.mkdir(exist_ok=True)
            self._point = dict(self._plan.points[number])
            method, sparsity = self._point["method"], self._point["sparsity"]
            self._pruner = Pruner(self._inputs, method, sparsity, self._plan.form)

    def _prune(self, act: Callable[[Pruner], None]) -> None:
        if self._pruner is None:
            return
        try:
            with self._session.unheard():
                act(self._pruner)
        except Exception as error:  # of a network that no method was made for
            self._write({"failed": str(error) or type(error).__name__})
            if self._plan.fork:
                leave()
            self._pruner = None

    def _write(self, failed: Data) -> None:
        target = self._folder / FOUND
        if target.exists():
            return
        if self._point.get("save") and not failed and self._pruner is not None:
            torch.save(saved(self._pruner), self._folder / SAVED)
        partial = target.with_suffix(".part")
        partial.write_text(json.dumps(self._found() | failed))
        os.replace(partial, target)

    def _found(self) -> Data:
        found = {
            "updates": self._made,
            "networks": [network(one.module) for one in self._inputs.values()],
            "value": self._value(),
            "loss": self._losses.mean(),
        }
        if self._pruner is None:
            return found
        pruned = [one for _, one in self._pruner.pruned.values()]
        weights = sum(sum(one.weights.values()) for one in pruned)
        zeros = sum(sum(one.zeros.values()) for one in pruned)
        return found | {
            "method": pruned[0].method if pruned else self._point["method"],
            "sparsity": zeros / weights if weights else 0.0,
            "layers": layers(pruned),
            "left_out": [own(path) for one in pruned for path in one.left_out],
        }

    def _value(self) -> float | None:
        """What the script last measured itself by, after its last update."""
        wanted = tuple(self._plan.measure or ())
        rows = [one.as_data() for one in self._readings.readings]
        values = [one["value"] for one in rows if (one["site"], one["kind"]) == wanted]
        return values[-1] if values else None


def network(module: nn.Module) -> Data:
    """What a network is, as plain data."""
    return {
        "name": name_of(module),
        "kind": type(module).__name__,
        "parameters": sum(p.numel() for p in module.parameters()),
    }


def name_of(module: nn.Module) -> str:
    """The script's own name for a network, if it has one at its top."""
    names = vars(sys.modules["__main__"]).items()
    return next((name for name, value in names if value is module), "")


def saved(pruner: Pruner) -> Data:
    """The parameters of the network that was pruned; by name where there are several."""
    modules = [module for module, _ in pruner.pruned.values()]
    if len(modules) == 1:
        return dict(modules[0].state_dict())
    return {name_of(one) or str(at): one.state_dict() for at, one in enumerate(modules)}


def leave() -> NoReturn:
    """End a branch: what comes after a script's end concerns the program alone."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)
