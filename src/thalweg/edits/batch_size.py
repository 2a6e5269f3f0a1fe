"""Larger batches: of the loader, of the pieces that a permutation is split into, of the slices."""

from __future__ import annotations

import ast

from thalweg.edits.numbers import scaled
from thalweg.edits.optimizers import with_argument
from thalweg.edits.script import Script, is_method
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.edits.training import training_loaders, training_loops
from thalweg.interventions import BatchSize


def batch_size(script: Script, change: BatchSize) -> list[Replacement]:
    """Take several times as many examples at a time."""
    loaders = training_loaders(script)
    if loaders:
        return [new for one in loaders for new in _of_loader(script, one, change.factor)]
    found = [size for loop in training_loops(script) for size in _sizes(script, loop)]
    found = found or _drawn(script)
    if not found:
        raise NotPlaced("where training takes its batches is not seen")
    return scaled(script, found, change.factor)


def _of_loader(script: Script, loader: ast.Call, factor: int) -> list[Replacement]:
    named = {word.arg: word.value for word in loader.keywords}
    if "batch_sampler" in named or "drop_last" in named:
        raise NotPlaced("larger batches may be left out by this loader")
    size = named.get("batch_size", loader.args[1] if len(loader.args) > 1 else None)
    if size is None:
        return with_argument(script, loader, "batch_size", str(factor))
    return scaled(script, [size], factor)


def _sizes(script: Script, loop: ast.For) -> list[ast.expr]:
    """Every place at which a loop says how many examples it takes."""
    call = loop.iter
    if not isinstance(call, ast.Call):
        return []
    if is_method(call, "split") and len(call.args) == 1:
        return call.args
    is_range = isinstance(call.func, ast.Name) and call.func.id == "range" and len(call.args) == 3
    if not (is_range and isinstance(loop.target, ast.Name)):
        return []
    step = script.source.of(call.args[2])
    ends = [_end(one, loop.target.id) for one in ast.walk(loop)]
    sizes = [one for one in ends if one is not None]
    same = sizes and all(script.source.of(one) == step for one in sizes)
    return [call.args[2], *sizes] if same else []


def _drawn(script: Script) -> list[ast.expr]:
    """The number of rows that are drawn for each update: ``torch.randint(n, (size,))``."""
    return [
        shape.elts[0]
        for call in script.calls_to("torch.randint")
        if any(script.trains(one) for one in script.loops_around(call))
        for shape in call.args[1:]
        if isinstance(shape, ast.Tuple) and len(shape.elts) == 1
    ]


def _end(node: ast.AST, counter: str) -> ast.expr | None:
    """``n`` in ``x[i : i + n]``."""
    match node:
        case ast.Slice(
            lower=ast.Name(id=lower),
            upper=ast.BinOp(left=ast.Name(id=left), op=ast.Add(), right=right),
        ) if lower == left == counter:
            return right
    return None
