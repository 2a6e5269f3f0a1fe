"""Another learning rate: in every optimizer, in groups with a rate of their own, in schedules."""

from __future__ import annotations

import ast

from thalweg.edits.lines import removed
from thalweg.edits.numbers import literal, number, scaled, set_to, written
from thalweg.edits.optimizers import (
    Made,
    groups,
    lacking,
    optimizers,
    schedulers,
    sets_itself,
    settings,
    with_argument,
)
from thalweg.edits.script import Script, is_method
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import LearningRate

# Rates that a schedule is given as such; the others follow from the optimizer's.
ABSOLUTE = {"OneCycleLR": ("max_lr",), "CyclicLR": ("base_lr", "max_lr"),
            "CosineAnnealingLR": ("eta_min",), "CosineAnnealingWarmRestarts": ("eta_min",),
            "ReduceLROnPlateau": ("min_lr",)}  # fmt: skip
AT = {"OneCycleLR": 1, "CyclicLR": 1, "CosineAnnealingLR": 2, "CosineAnnealingWarmRestarts": 3}


def learning_rate(script: Script, change: LearningRate) -> list[Replacement]:
    """Scale every rate, or set the first and keep the others' ratio to it."""
    held = _without_schedule(script) if change.hold else []
    if change.factor == 1:
        return held
    if sets_itself(script, "lr"):
        raise NotPlaced("the script sets its learning rate itself while it runs")
    if change.value is not None:
        return held + _set(script, change.value)
    return held + _scaled(script, change.factor or 1.0)


def _scaled(script: Script, factor: float) -> list[Replacement]:
    given = [*settings(script, "lr"), *_of_schedules(script)]
    added = [
        one
        for optimizer in lacking(script, "lr")
        for one in with_argument(script, optimizer.call, "lr", written(_own(optimizer) * factor))
    ]
    return [*scaled(script, given, factor), *added]


def _set(script: Script, value: float) -> list[Replacement]:
    """The only rate there is becomes this; of several, each keeps its ratio to the first."""
    if _of_schedules(script):
        raise NotPlaced("a schedule is given learning rates of its own")
    made, given = optimizers(script), settings(script, "lr")
    if len(made) == 1 and not given:
        return with_argument(script, made[0].call, "lr", written(value))
    if len(made) == len(given) == 1:
        text = written(value, _style(script, given[0]))
        return set_to(script, given[0], text)
    if len(made) > 1:
        raise NotPlaced("the script has several optimizers, whose rates cannot all be this one")
    first = next((one for one in _first_group(script)), made[0].argument("lr"))
    now = number(literal(script, first, given)) if first is not None else _own(made[0])
    if not now:
        raise NotPlaced("the learning rate that the others are to keep their ratio to is no number")
    return _scaled(script, value / now)


def _first_group(script: Script) -> list[ast.expr]:
    """The first group's own rate, if it has one."""
    first = groups(script)[:1]
    pairs = [pair for one in first for pair in zip(one.keys, one.values, strict=True)]
    return [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "lr"]


def _style(script: Script, expr: ast.expr) -> str:
    home = literal(script, expr, [expr])
    return script.source.of(home) if home is not None else ""


def _own(made: Made) -> float:
    """The rate that a class has by itself."""
    rate = made.defaults.get("lr")
    if not isinstance(rate, float | int):
        raise NotPlaced("an optimizer is constructed without a learning rate")
    return float(rate)


def _of_schedules(script: Script) -> list[ast.expr]:
    """Every rate but zero that a schedule is given."""
    found = []
    for call in schedulers(script):
        kind = script.origins.called(call).rsplit(".", 1)[-1]
        named = {word.arg: word.value for word in call.keywords}
        names = ABSOLUTE.get(kind, ())
        at = AT.get(kind, len(call.args))
        by_position = call.args[at : at + len(names)]
        found += [*by_position, *(named[name] for name in names if name in named)]
    return [one for one in found if number(one) != 0]


def _without_schedule(script: Script) -> list[Replacement]:
    """Every step of a schedule taken away."""
    made = schedulers(script)
    found = [
        call
        for call in script.calls()
        if is_method(call, "step") and isinstance(call.func, ast.Attribute)
        and _all_in(script.origins.of(call.func.value), made)
    ]  # fmt: skip
    statements = [script.source.parent(one) for one in found]
    if sets_itself(script, "lr") or not found:
        raise NotPlaced("the steps of the script's schedule are not seen")
    return [removed(script.source, one) for one in statements if isinstance(one, ast.Expr)]


def _all_in(origins: list[ast.AST], made: list[ast.Call]) -> bool:
    return bool(origins) and all(any(one is each for each in made) for one in origins)
