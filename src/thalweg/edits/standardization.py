"""Standardized inputs and targets: numbers made once, used wherever the model is called."""

from __future__ import annotations

import ast
import re

from thalweg.edits.forward_pass import NN, layers
from thalweg.edits.lines import after, before, fresh
from thalweg.edits.loss_wiring import ELEMENTWISE
from thalweg.edits.optimizers import optimizers
from thalweg.edits.scopes import Binding
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.edits.training import calls_of, loss_calls, model, without_gradients
from thalweg.edits.training_data import table
from thalweg.interventions import InputStandardization, TargetStandardization

ELSEWHERE = re.compile(r"\b(cuda|device|mps|xpu)\b")


def input_standardization(script: Script, change: InputStandardization) -> list[Replacement]:
    """Subtract the mean and divide by the deviation of the training data, in every call."""
    one_entrance = len(change.entrances) == 1 and "mean" in change.entrances[0]
    if not one_entrance or ELSEWHERE.search(script.source.text):
        raise NotPlaced("what enters the model is not seen")
    _, made = model(script)
    _enters_first_layer(script)
    calls = calls_of(script, made)
    if any(len(one.args) != 1 or one.keywords for one in calls):
        raise NotPlaced("the model is given more than its data")
    trained = [one for one in calls if not without_gradients(script, one) and _in_loop(script, one)]
    whole = {table(script, one.args[0]) for one in trained}
    if len(whole) != 1:
        raise NotPlaced("the table of the training data is not seen")
    mean, std = fresh(script.source, ("mean", "std"), ("input_mean", "input_std"))
    (inputs,) = fresh(script.source, ("inputs",), ("train_inputs",))
    data = whole.pop()
    place = _made_at(script, data, calls)
    named = [] if "(" not in data else [f"{inputs} = {data}"]
    lines = [*named, *_moments(inputs if named else data, mean, std, change.entrances[0])]
    return [after(script.source, place, *lines),
            *(new for one in calls for new in _scaled(script, one.args[0], mean, std))]  # fmt: skip


def _in_loop(script: Script, call: ast.Call) -> bool:
    return any(script.trains(one) for one in script.loops_around(call))


def _enters_first_layer(script: Script) -> None:
    """Raise unless the data meet a linear layer as they are."""
    first = layers(script)[:1]
    made = first[0].made if first else None
    if made is None or script.origins.called(made) != NN + "Linear":
        raise NotPlaced("the model does not begin with a linear layer")
    called = first[0].called
    if called is None:
        return
    forward = script.scopes.scope(called)
    names = [one.arg for one in forward.args.args] if isinstance(forward, ast.FunctionDef) else []
    given = called.args[0] if called.args else None
    bindings = script.scopes.bindings(given) if isinstance(given, ast.Name) else []
    if not (isinstance(given, ast.Name) and given.id in names[1:] and _first_use(bindings, called)):
        raise NotPlaced("the model computes something before its first layer")


def _first_use(bindings: list[Binding], called: ast.Call) -> bool:
    """Whether a parameter has kept its value until it is used."""
    others = [one.node for one in bindings if not isinstance(one.node, ast.arg)]
    return all(getattr(one, "lineno", 0) >= called.lineno for one in others)


def _made_at(script: Script, data: str, calls: list[ast.Call]) -> ast.stmt:
    """The statement behind which the data are complete, where every call sees what follows it."""
    names = {one.id for one in ast.walk(ast.parse(data, mode="eval")) if isinstance(one, ast.Name)}
    start = script.source.statement(optimizers(script)[0].call)
    nodes = [one.node for name in names for one in script.scopes.visible(name, start)]
    statements = [one for one in nodes if isinstance(one, ast.Assign | ast.AnnAssign)]
    imports = [one for one in nodes if isinstance(one, ast.Import | ast.ImportFrom)]
    if not statements or len(statements) + len(imports) < len(nodes):
        raise NotPlaced("the table of the training data is not seen")
    last = max(statements, key=lambda one: one.lineno)
    _visible(script, last, calls)
    return last


def _visible(script: Script, place: ast.stmt, calls: list[ast.Call]) -> None:
    """Raise unless names bound behind a statement are known at every call."""
    home = script.scopes.scope(place)
    top = script.source.parent(place) is home
    known = all(isinstance(home, ast.Module) or script.scopes.scope(one) is home for one in calls)
    later = all(one.lineno > place.lineno for one in calls if script.scopes.scope(one) is home)
    if not (top and known and later):
        raise NotPlaced("what is measured on the training data is not known wherever it is needed")


def _moments(data: str, mean: str, std: str, entrance: dict[str, object]) -> list[str]:
    """Lines that take the moments; a constant feature stays as it is."""
    if not isinstance(entrance["mean"], list):
        return [f"{mean}, {std} = {data}.mean(), {data}.std(correction=0)"]
    lines = [f"{mean}, {std} = {data}.mean(0), {data}.std(0, correction=0)"]
    deviations = entrance["std"] if isinstance(entrance["std"], list) else []
    if any(one == 1.0 for one in deviations):
        lines.append(f"{mean}[{std} == 0], {std}[{std} == 0] = 0, 1  # constant features stay")
    return lines


def _scaled(script: Script, data: ast.expr, mean: str, std: str) -> list[Replacement]:
    start, end = script.source.start(data), script.source.end(data)
    simple = isinstance(data, ast.Name | ast.Subscript | ast.Call | ast.Attribute)
    opening, closing = ("(", "") if simple else ("((", ")")
    rest = f"{closing} - {mean}) / {std}"
    return [Replacement(start, start, opening), Replacement(end, end, rest)]


def target_standardization(script: Script, change: TargetStandardization) -> list[Replacement]:
    """Train on standardized targets, and scale every prediction back."""
    if change.position != change.period - 1:
        raise NotPlaced("it is not the last layer that predicts")
    _, made = model(script)
    calls = calls_of(script, made)
    compared = [(call, losses) for call in calls if (losses := _losses(script, call))]
    predicted = [one for one in calls if without_gradients(script, one)]
    if not compared or len(compared) + len(predicted) != len(calls):
        raise NotPlaced("where the model's outputs are compared with targets is not seen")
    mean, std = fresh(script.source, ("target_mean", "target_std"))
    values, imports = _target_moments(script, change)
    targets = [one.args[1] for _, losses in compared for one in losses]
    return [*imports,
            _known_to(script, calls, f"{mean}, {std} = {values}"),
            *(new for one in targets for new in _scaled(script, one, mean, std)),
            *(_back(script, one, mean, std) for one in predicted)]  # fmt: skip


def _target_moments(script: Script, change: TargetStandardization) -> tuple[str, list[Replacement]]:
    """Mean and deviation as they are written, and the import that this needs."""
    if not change.by_column:
        return f"{change.mean!r}, {change.std!r}", []
    if ELSEWHERE.search(script.source.text):
        raise NotPlaced("where the targets are kept is not seen")
    tensor, imports = script.written("torch.tensor")
    return f"{tensor}({change.mean!r}), {tensor}({change.std!r})", imports


def _known_to(script: Script, calls: list[ast.Call], line: str) -> Replacement:
    """A line before the optimizer, or behind the imports where calls do not see that place."""
    place = script.source.statement(optimizers(script)[0].call)
    try:
        _visible(script, place, calls)
    except NotPlaced:
        return script.behind_imports(line)
    return before(script.source, place, line)


def _losses(script: Script, call: ast.Call) -> list[ast.Call]:
    """The training losses that a call's outputs are given to first."""
    return [
        loss
        for loss, name, _ in loss_calls(script)
        if name in ELEMENTWISE
        and len(loss.args) == 2
        and not without_gradients(script, loss)
        and any(one is call for one in _outputs(script, loss.args[0]))
    ]


def _outputs(script: Script, expr: ast.expr) -> list[ast.AST]:
    """The calls in an expression, or in the one whose name it is."""
    if isinstance(expr, ast.Name):
        bindings = script.scopes.bindings(expr)
        value = bindings[0].value if len(bindings) == 1 else None
        return [] if value is None or isinstance(value, ast.Name) else _outputs(script, value)
    return list(ast.walk(expr))


def _back(script: Script, call: ast.Call, mean: str, std: str) -> Replacement:
    around, text = script.source.parent(call), f"{script.source.of(call)} * {std} + {mean}"
    alone = isinstance(around, ast.Assign) or (isinstance(around, ast.Call) and call in around.args)
    return script.source.replaced(call, text if alone else f"({text})")
