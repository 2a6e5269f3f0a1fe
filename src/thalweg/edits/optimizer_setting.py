"""Another value for settings of the optimizer, where its class or a group has them."""

from __future__ import annotations

from typing import Any

from thalweg.edits.numbers import set_to, written
from thalweg.edits.optimizers import Made, lacking, sets_itself, settings, with_argument
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import OptimizerSetting


def optimizer_setting(script: Script, change: OptimizerSetting) -> list[Replacement]:
    """Give each optimizer the settings."""
    found = [one for name, value in change.settings.items() for one in _of(script, name, value)]
    if not found:
        raise NotPlaced("the script's optimizer has none of these settings")
    return found


def _of(script: Script, name: str, value: Any) -> list[Replacement]:
    if sets_itself(script, name):
        raise NotPlaced(f"the script sets {name} itself while it runs")
    text = as_written(value)
    given = [one for expr in settings(script, name) for one in set_to(script, expr, text)]
    without = [one for one in lacking(script, name) if has(one, name)]
    return given + [new for one in without for new in with_argument(script, one.call, name, text)]


def has(made: Made, name: str) -> bool:
    """Whether an optimizer has a setting.

    Raises:
        NotPlaced: It is of a class whose settings are not known.
    """
    if made.made is None:
        raise NotPlaced("the script's optimizer is of a class of its own")
    return name in made.defaults


def as_written(value: Any) -> str:
    """A setting's value as code."""
    if isinstance(value, list | tuple):
        inside = ", ".join(as_written(one) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return written(value) if isinstance(value, float) else repr(value)
