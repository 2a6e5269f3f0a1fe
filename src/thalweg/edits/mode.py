"""The right mode: a line before each evaluation and one before training goes on."""

from __future__ import annotations

import ast

from thalweg.edits.lines import after, before
from thalweg.edits.script import Script, is_method
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.edits.training import calls_of, model, training_loops, without_gradients
from thalweg.interventions import Mode


def mode(script: Script, change: Mode) -> list[Replacement]:
    """Put the model into evaluation mode where gradients are off, or into training mode."""
    _, made = model(script)
    calls = calls_of(script, made)
    trained = [one for one in calls if not without_gradients(script, one) and _in_loop(script, one)]
    evaluated = [one for one in calls if without_gradients(script, one)]
    if not (trained if change.where == "training" else evaluated):
        raise NotPlaced(f"where the model is called in {change.where} is not seen")
    if change.where == "evaluation":
        return [new for one in evaluated for new in _evaluation(script, one, back=True)]
    evaluating = [new for one in evaluated for new in _evaluation(script, one, back=False)]
    return [*(_training(script, one) for one in trained), *evaluating]


def _in_loop(script: Script, call: ast.Call) -> bool:
    return any(script.trains(one) for one in script.loops_around(call))


def _training(script: Script, call: ast.Call) -> Replacement:
    """Right before the forward pass, in place of a line there that sets another mode."""
    statement = script.source.statement(call)
    block = script.source.block(statement)
    at, name = block.index(statement), _name(call)
    now = _sets_mode(script, block[at - 1], name) if at else None
    if now is not None:
        return script.source.replaced(now, f"{name}.train()")
    return before(script.source, statement, f"{name}.train()")


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _evaluation(script: Script, call: ast.Call, back: bool) -> list[Replacement]:
    """Before the block without gradients, and ``back`` behind it where training may go on."""
    block, name = _block(script, call), _name(call)
    statements = script.source.block(block)
    now = _set_before(script, statements[: statements.index(block)], name)
    if now is not None:
        return [script.source.replaced(now, f"{name}.eval()")]
    lines = [before(script.source, block, f"{name}.eval()")]
    if not back or not _goes_on(script, block):
        return lines
    if any(isinstance(one, ast.Return) for one in ast.walk(block)):
        raise NotPlaced("an evaluation returns before training mode could be set again")
    return [*lines, after(script.source, block, f"{name}.train()")]


def _block(script: Script, call: ast.Call) -> ast.With:
    found = [one for one in script.source.around(call) if isinstance(one, ast.With)]
    for one in found:
        if without_gradients(script, one.body[0]) and not without_gradients(script, one):
            return one
    raise NotPlaced("the model is evaluated in a function without gradients")


def _set_before(script: Script, statements: list[ast.stmt], name: str) -> ast.Call | None:
    """The call that sets a mode behind the last training and before an evaluation."""
    for one in reversed(statements):
        if script.trains(one):
            return None
        if (call := _sets_mode(script, one, name)) is not None:
            return call
    return None


def _sets_mode(script: Script, statement: ast.stmt, name: str) -> ast.Call | None:
    """A ``model.train()`` or ``model.eval()`` that a statement is."""
    match statement:
        case ast.Expr(value=ast.Call() as call) if is_method(call, "train") or is_method(
            call, "eval"
        ):
            return call if script.source.of(call.func).startswith(f"{name}.") else None
    return None


def _goes_on(script: Script, block: ast.stmt) -> bool:
    """Whether a backward pass may come after the block."""
    if not isinstance(script.scopes.scope(block), ast.Module) or script.loops_around(block):
        return True
    end = block.end_lineno or block.lineno
    return any(one.lineno > end for one in training_loops(script))
