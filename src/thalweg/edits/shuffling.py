"""Shuffled examples: by the loader, or by a permutation that a loop takes its rows through."""

from __future__ import annotations

import ast

from thalweg.edits.lines import before, fresh
from thalweg.edits.numbers import number
from thalweg.edits.optimizers import with_argument
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.edits.training import training_loaders, training_loops
from thalweg.interventions import Shuffling


def shuffling(script: Script, change: Shuffling) -> list[Replacement]:
    """Take the examples in another order on each pass."""
    loaders = [one for one in training_loaders(script) if not _has_an_order(one)]
    if loaders:
        return [new for one in loaders for new in with_argument(script, one, "shuffle", "True")]
    return _permuted(script) or _by_rows(script)


def _has_an_order(loader: ast.Call) -> bool:
    return len(loader.args) > 2 or any(
        word.arg in ("sampler", "batch_sampler") for word in loader.keywords
    )


def _permuted(script: Script) -> list[Replacement]:
    """``torch.arange`` that is drawn up in each epoch becomes a permutation."""
    function, imports = script.written("torch.randperm")
    found = []
    for call in script.calls_to("torch.arange"):
        statement = script.source.statement(call)
        inside = [one for one in script.loops_around(call) if script.trains(one)]
        rows = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        if inside and rows and len(call.args) == 1 and _takes_rows(script, call):
            found.append(script.source.replaced(call.func, function))
    return found + imports if found else []


def _takes_rows(script: Script, call: ast.Call) -> bool:
    """Whether every use of the rows is to be sliced."""
    uses = [
        name
        for name in script.source.walk(ast.Name)
        if isinstance(name.ctx, ast.Load) and script.origins.of(name) == [call]
    ]
    slices = [script.source.parent(name) for name in uses]
    return bool(uses) and all(
        isinstance(one, ast.Subscript) and isinstance(one.slice, ast.Slice) for one in slices
    )


def _by_rows(script: Script) -> list[Replacement]:
    """A permutation before the loop over batches: ``x[i : j]`` becomes ``x[order[i : j]]``."""
    for loop in training_loops(script):
        slices = _batches(script, loop)
        if any(_is_permutation(script, one.value) for one in slices):
            raise NotPlaced("the script has it already")
        if slices and any(script.trains(one) for one in script.loops_around(loop)):
            (order,) = fresh(script.source, ("order",), ("permutation",))
            function, imports = script.written("torch.randperm")
            count = script.source.of(_stop(loop))
            line = before(script.source, loop, f"{order} = {function}({count})")
            return [line, *imports, *(_through(script, one, order) for one in slices)]
    raise NotPlaced("where training takes its rows in order is not seen")


def _stop(loop: ast.For) -> ast.expr:
    call = loop.iter
    return call.args[1] if isinstance(call, ast.Call) and len(call.args) > 1 else loop.iter


def _batches(script: Script, loop: ast.For) -> list[ast.Subscript]:
    """The slices that begin at the loop's own counter, of what is made outside of the loop."""
    call = loop.iter
    is_range = isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    if not (is_range and isinstance(call, ast.Call) and ast.unparse(call.func) == "range"):
        return []
    if len(call.args) != 3 or number(call.args[0]) != 0 or not isinstance(loop.target, ast.Name):
        return []
    return [
        one
        for one in script.source.walk(ast.Subscript)
        if isinstance(one.slice, ast.Slice)
        and isinstance(one.slice.lower, ast.Name)
        and script.scopes.same(one.slice.lower, loop.target)
        and isinstance(one.value, ast.Name)
        and not _made_inside(script, one.value, loop)
    ]


def _is_permutation(script: Script, expr: ast.expr) -> bool:
    made = [one for one in script.origins.of(expr) if isinstance(one, ast.Call)]
    return any(script.origins.called(one) == "torch.randperm" for one in made)


def _made_inside(script: Script, name: ast.Name, loop: ast.For) -> bool:
    inside = list(ast.walk(loop))
    return any(one.node in inside for one in script.scopes.bindings(name))


def _through(script: Script, rows: ast.Subscript, order: str) -> Replacement:
    text = script.source.of(rows.slice)
    start, end = script.source.start(rows.slice), script.source.end(rows.slice)
    return Replacement(start, end, f"{order}[{text}]")
