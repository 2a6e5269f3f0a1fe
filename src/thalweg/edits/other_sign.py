"""The other sign: without ``maximize=True``, or with the loss's minus taken away or put in."""

from __future__ import annotations

import ast

from thalweg.edits.optimizers import Made, optimizers, without_argument
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import OtherSign


def other_sign(script: Script, change: OtherSign) -> list[Replacement]:
    """Go down what the script goes up."""
    made = _made(script)
    if made and all(_maximizes(one) for one in made):
        return [new for one in made for new in without_argument(script, one.call, "maximize")]
    passes = script.backwards()
    if not passes:
        raise NotPlaced("the script shows no backward pass")
    return [one for call in passes for one in _turned(script, call)]


def _made(script: Script) -> list[Made]:
    try:
        return optimizers(script)
    except NotPlaced:
        return []


def _maximizes(made: Made) -> bool:
    named = [word.value for word in made.call.keywords if word.arg == "maximize"]
    return any(isinstance(one, ast.Constant) and one.value is True for one in named)


def _turned(script: Script, call: ast.Call) -> list[Replacement]:
    """The loss of one backward pass with the other sign."""
    loss = _loss(script, call)
    minus = _minus(script, loss)
    if minus is not None:
        return [Replacement(script.source.start(minus), script.source.start(minus.operand), "")]
    text = script.source.of(loss)
    turned = f"-{text}" if isinstance(loss, ast.Name | ast.Call) else f"-({text})"
    given = bool(script.origins.called(call))
    return [script.source.replaced(loss, turned if given else f"({turned})")]


def _loss(script: Script, call: ast.Call) -> ast.expr:
    if not script.origins.called(call) and isinstance(call.func, ast.Attribute):
        return call.func.value
    if call.args and not isinstance(call.args[0], ast.Tuple | ast.List | ast.Starred):
        return call.args[0]
    raise NotPlaced("what is differentiated is not seen")


def _minus(script: Script, loss: ast.expr) -> ast.UnaryOp | None:
    """The minus with which the loss is written, if that is the only place that makes it."""
    if not isinstance(loss, ast.Name):
        return None
    bindings = script.scopes.bindings(loss)
    value = bindings[0].value if len(bindings) == 1 else None
    is_minus = isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub)
    return value if is_minus and isinstance(value, ast.UnaryOp) else None
