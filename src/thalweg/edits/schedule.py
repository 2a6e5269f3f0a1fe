"""A schedule: one line behind the optimizer, one behind its step."""

from __future__ import annotations

import ast

from thalweg.edits.lines import after, fresh
from thalweg.edits.optimizers import made_at, schedulers, sets_itself, steps
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement, only
from thalweg.interventions import Schedule

SCHEDULERS = "torch.optim.lr_scheduler"


def schedule(script: Script, change: Schedule) -> list[Replacement]:
    """Anneal the rate over the run's steps."""
    if schedulers(script) or sets_itself(script, "lr"):
        raise NotPlaced("the script has a schedule of its own")
    call, optimizer = only(steps(script), "steps of one optimizer")
    made = only(made_at(script, optimizer), "optimizers")
    constructed, step = script.source.statement(made.call), script.source.statement(call)
    if script.scopes.scope(constructed) is not script.scopes.scope(step):
        raise NotPlaced("the optimizer is made in one function and steps in another")
    if not isinstance(optimizer, ast.Name) or not isinstance(constructed, ast.Assign):
        raise NotPlaced("the optimizer has no name of its own")
    home, imports = script.written(SCHEDULERS)
    (name,) = fresh(script.source, ("scheduler",), ("schedule",))
    line = f"{name} = {_written(change, home, script.source.of(optimizer))}"
    return [after(script.source, constructed, line), *imports,
            after(script.source, step, f"{name}.step()")]  # fmt: skip


def _written(change: Schedule, home: str, optimizer: str) -> str:
    """The schedule's construction."""
    rest = change.steps - change.warmup
    annealed = {
        "cosine": f"{home}.CosineAnnealingLR({optimizer}, T_max={rest})",
        "linear": f"{home}.LinearLR({optimizer}, 1.0, 0.0, total_iters={rest})",
    }[change.shape]
    if not change.warmup:
        return annealed
    rising = f"{home}.LinearLR({optimizer}, 1 / {change.warmup + 1}, 1.0, {change.warmup})"
    return f"{home}.SequentialLR({optimizer}, [{rising}, {annealed}], [{change.warmup}])"
