"""Early stopping: fewer rounds, where one round is one update."""

from __future__ import annotations

import ast

from thalweg.edits.numbers import set_to
from thalweg.edits.optimizers import steps
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement, only
from thalweg.interventions import EarlyStopping


def early_stopping(script: Script, change: EarlyStopping) -> list[Replacement]:
    """Make as many rounds as updates are to be made."""
    call, _ = only(steps(script), "steps of one optimizer")
    loops, statement = script.loops_around(call), script.source.statement(call)
    home = script.scopes.scope(call)
    once = isinstance(home, ast.Module) or (
        isinstance(home, ast.FunctionDef) and len(script.origins.calls_of(home)) == 1
    )
    rounds = loops[0].iter if len(loops) == 1 and isinstance(loops[0], ast.For) else None
    is_range = isinstance(rounds, ast.Call) and ast.unparse(rounds.func) == "range"
    if not once or not is_range or not isinstance(rounds, ast.Call) or len(rounds.args) != 1:
        raise NotPlaced("how many updates a round of training makes is not seen")
    if not any(statement is one for one in loops[0].body):
        raise NotPlaced("not every round of training makes an update")
    return set_to(script, rounds.args[0], str(change.step))
