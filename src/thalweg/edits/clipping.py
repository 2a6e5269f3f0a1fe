"""Clipping: a line before each step of an optimizer."""

from __future__ import annotations

import ast

from thalweg.edits.lines import before
from thalweg.edits.numbers import written
from thalweg.edits.optimizers import groups, made_at, steps
from thalweg.edits.script import Script, is_method
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import Clipping


def clipping(script: Script, change: Clipping) -> list[Replacement]:
    """Clip what the backward pass has left, just before it is used."""
    function, imports = script.written("torch.nn.utils.clip_grad_norm_")
    found = list(imports)
    for call, optimizer in steps(script):
        if call.args and call.args[0] is not optimizer:
            raise NotPlaced("the optimizer evaluates its loss in a closure")
        line = f"{function}({parameters(script, optimizer, call)}, {written(change.norm)})"
        found.append(before(script.source, script.source.statement(call),
                            *_unscaled(script, call, optimizer), line))  # fmt: skip
    return found


def _unscaled(script: Script, call: ast.Call, optimizer: ast.expr) -> list[str]:
    """What gradients that a scaler has scaled need first."""
    if not (call.args and isinstance(call.func, ast.Attribute)):
        return []
    if any(is_method(one, "unscale_") for one in script.calls()):
        return []
    return [f"{script.source.of(call.func.value)}.unscale_({script.source.of(optimizer)})"]


def parameters(script: Script, optimizer: ast.expr, at: ast.AST) -> str:
    """The parameters of an optimizer as they can be written at a node."""
    made = made_at(script, optimizer)
    if len(made) == 1 and not groups(script):
        given = made[0].params
        if _is_reusable(script, given) and _means_the_same(script, given, at):
            return script.source.of(given)
    name = script.source.of(optimizer)
    if not groups(script):
        return f'{name}.param_groups[0]["params"]'
    return f'[p for group in {name}.param_groups for p in group["params"]]'


def _is_reusable(script: Script, given: ast.expr) -> bool:
    """Whether it can be gone through again: a call that makes a new iterator, or a list."""
    if isinstance(given, ast.Call):
        return is_method(given, "parameters") and not given.args
    origins = script.origins.of(given)
    return isinstance(given, ast.Name | ast.List) and len(origins) == 1 and isinstance(
        origins[0], ast.List
    )  # fmt: skip


def _means_the_same(script: Script, given: ast.expr, at: ast.AST) -> bool:
    """Whether every name in it is the same variable at a node."""
    names = [one for one in ast.walk(given) if isinstance(one, ast.Name)]
    return all(
        script.scopes.bindings(one) == script.scopes.visible(one.id, at)
        and len(script.scopes.bindings(one)) == 1
        for one in names
    )
