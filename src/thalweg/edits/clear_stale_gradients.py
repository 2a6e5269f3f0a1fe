"""Clearing gradients: before the one backward pass of an update, else right behind the update."""

from __future__ import annotations

import ast

from thalweg.edits.lines import after, before
from thalweg.edits.optimizers import inside_step, optimizers, steps
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import ClearStaleGradients


def clear_stale_gradients(script: Script, change: ClearStaleGradients) -> list[Replacement]:
    """Clear what an update has used before gradients arrive again."""
    try:
        optimizers(script)
    except NotPlaced:
        return _by_hand(script)
    return [_for_step(script, call, optimizer) for call, optimizer in steps(script)]


def _for_step(script: Script, call: ast.Call, optimizer: ast.expr) -> Replacement:
    source = script.source
    line = f"{source.of(optimizer)}.zero_grad()"
    closure = inside_step(script, call)
    if closure is not None:
        return _in_closure(script, closure, optimizer, line)
    step = source.statement(call)
    passes = script.backwards()
    backward = source.statement(passes[0]) if len(passes) == 1 else step
    block = source.block(step)
    beside = any(one is backward for one in block[: block.index(step)])
    return before(source, backward, line) if beside else after(source, step, line)


def _in_closure(
    script: Script, closure: ast.FunctionDef, optimizer: ast.expr, line: str
) -> Replacement:
    """At the begin of what evaluates the loss."""
    seen = isinstance(optimizer, ast.Name) and script.scopes.visible(
        optimizer.id, closure.body[0]
    ) == script.scopes.bindings(optimizer)
    if not seen:
        raise NotPlaced("the closure does not see the optimizer whose gradients to clear")
    is_text = isinstance(closure.body[0], ast.Expr) and isinstance(
        closure.body[0].value, ast.Constant
    )
    return before(script.source, closure.body[1 if is_text else 0], line)


def _by_hand(script: Script) -> list[Replacement]:
    """Behind the statement that moves a parameter along its own gradient."""
    found = []
    for statement in script.source.walk(ast.AugAssign):
        read = {script.source.of(one.value) for one in ast.walk(statement.value)
                if isinstance(one, ast.Attribute) and one.attr == "grad"}  # fmt: skip
        target = script.source.of(statement.target).removesuffix(".data")
        if read == {target}:
            last = [
                one
                for one in script.source.block(statement)
                if any(isinstance(x, ast.Attribute) and x.attr == "grad" for x in ast.walk(one))
            ][-1]
            found.append(after(script.source, last, f"{target}.grad = None"))
    if not found:
        raise NotPlaced("the script's updates are not seen")
    return found
