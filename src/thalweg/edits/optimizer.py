"""Another optimizer: its class, rate and settings, over the same groups and weight decay."""

from __future__ import annotations

import ast
from typing import Any

import torch

from thalweg.edits.numbers import number, written
from thalweg.edits.optimizer_setting import as_written
from thalweg.edits.optimizers import (
    Made,
    arguments,
    defaults_of,
    groups,
    lacking,
    optimizers,
    schedulers,
    sets_itself,
)
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import OptimizerSwap
from thalweg.optim import OPTIMIZERS

KEPT = ("params", "weight_decay")  # of a group
# Schedules that steer settings which another optimizer may not have.
OWN = ("OneCycleLR", "CyclicLR")


def optimizer(script: Script, change: OptimizerSwap) -> list[Replacement]:
    """Construct another optimizer in the place of each."""
    if sets_itself(script, "lr"):
        raise NotPlaced("the script sets its learning rate itself while it runs")
    if any(script.origins.called(one).endswith(OWN) for one in schedulers(script)):
        raise NotPlaced("a schedule is given learning rates of its own")
    found = []
    for made in optimizers(script):
        found += _constructed(script, made, change)
    return found + [one for group in groups(script) for one in _plain_group(script, group)]


def _constructed(script: Script, made: Made, change: OptimizerSwap) -> list[Replacement]:
    """The whole call, written anew: of its own arguments only parameters and decay stay."""
    own = OPTIMIZERS[change.name_]
    name, imports = script.written(f"{_home(change)}.{own.__name__}")
    rate = change.lr or defaults_of(own).get("lr")
    now = made.argument("lr")
    style = "" if now is None or number(now) is None else script.source.of(now)
    given: dict[str, str] = {} if rate is None else {"lr": written(float(rate), style)}
    given |= {key: as_written(value) for key, value in change.settings.items()}
    given |= _decay(script, made, change)
    first, *others = arguments(made.call)
    if first is not made.params:
        raise NotPlaced("the optimizer is given its parameters behind its settings")
    start = script.source.end(first)
    end = script.source.end(others[-1]) if others else start
    rest = Replacement(start, end, "".join(f", {key}={text}" for key, text in given.items()))
    return [script.source.replaced(made.call.func, name), *imports, rest]


def _home(change: OptimizerSwap) -> str:
    """PyTorch, where it has the same optimizer with these settings; else Thalweg."""
    own = OPTIMIZERS[change.name_]
    theirs = getattr(torch.optim, own.__name__, None)
    if theirs is None:
        return "thalweg.optim"
    left, right = defaults_of(own), defaults_of(theirs)
    same = all(right[name] == left[name] for name in left.keys() & right.keys())
    return "torch.optim" if same and set(change.settings) <= right.keys() else "thalweg.optim"


def _decay(script: Script, made: Made, change: OptimizerSwap) -> dict[str, str]:
    """The weight decay that the script has now, where the other's own is not the same."""
    given = made.argument("weight_decay")
    if given is None and made not in lacking(script, "weight_decay"):
        return {}
    if "weight_decay" in change.settings:
        raise NotPlaced("the change sets a weight decay, which the script's own would overrule")
    now: Any = made.defaults.get("weight_decay", 0.0) if given is None else number(given)
    if now is not None and now == defaults_of(OPTIMIZERS[change.name_]).get("weight_decay", 0.0):
        return {}
    text = as_written(float(now)) if given is None else script.source.of(given)
    return {"weight_decay": text}


def _plain_group(script: Script, group: ast.Dict) -> list[Replacement]:
    """A group without settings of its own but its weight decay."""
    pairs = list(zip(group.keys, group.values, strict=True))
    kept = [(k, v) for k, v in pairs if isinstance(k, ast.Constant) and k.value in KEPT]
    if len(kept) == len(pairs):
        return []
    source = script.source
    items = ", ".join(f"{source.of(k)}: {source.of(v)}" for k, v in kept if k is not None)
    return [source.replaced(group, f"{{{items}}}")]
