"""More rounds: the range of the outermost loop that trains."""

from __future__ import annotations

import ast

from thalweg.edits.numbers import literal, number, scaled, set_to
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import LongerTraining
from thalweg.interventions.longer_training import training_loops


def longer_training(script: Script, change: LongerTraining) -> list[Replacement]:
    """Go round several times as often."""
    lines = training_loops(script.source.text)
    loops = [
        one.iter
        for one in script.source.walk(ast.For)
        if one.iter.lineno in lines and isinstance(one.iter, ast.Call)
    ]
    if not loops:
        raise NotPlaced("the script shows no loop over a range that trains")
    return [one for call in loops for one in _longer(script, call, change.factor)]


def _longer(script: Script, call: ast.Call, factor: int) -> list[Replacement]:
    values = [number(literal(script, one, [one])) for one in call.args]
    if len(call.args) == 1:
        return scaled(script, call.args, factor)
    stop = call.args[1]
    if all(isinstance(one, int) for one in values):
        own = range(*(one for one in values if isinstance(one, int)))
        return set_to(script, stop, str(own.start + factor * len(own) * own.step))
    inside = _counted(stop, values[0]) if len(call.args) == 2 else None
    if inside is None:
        raise NotPlaced(f"how many rounds {script.source.of(call)} makes is not seen")
    return scaled(script, [inside], factor)


def _counted(stop: ast.expr, start: float | None) -> ast.expr | None:
    """``n`` in ``range(1, n + 1)``."""
    if start == 0:
        return stop
    match stop:
        case ast.BinOp(left=left, op=ast.Add(), right=right) if number(right) == start:
            return left
    return None
