"""The table of all examples that training goes through, found from what the model is given."""

from __future__ import annotations

import ast

from thalweg.edits.script import Script, is_method
from thalweg.edits.source import LOOPS, NotPlaced
from thalweg.edits.training import LOADER


def table(script: Script, batch: ast.expr) -> str:
    """The whole of which a batch is a part, as an expression: ``x``, ``x[:1200]``, ``x[train]``.

    Raises:
        NotPlaced: Where the batch comes from is not seen.
    """
    found = _whole(script, batch)
    if found is None:
        raise NotPlaced("the table of the training data is not seen")
    return found


def _whole(script: Script, batch: ast.expr) -> str | None:
    if isinstance(batch, ast.Subscript) and isinstance(batch.value, ast.Name):
        rows = _rows(script, batch.slice, batch.value)
        return None if rows is None else script.source.of(batch.value) + rows
    if not isinstance(batch, ast.Name):
        return None
    bindings = script.scopes.bindings(batch)
    if len(bindings) != 1:
        return None
    node, value = bindings[0].node, bindings[0].value
    if isinstance(node, ast.For):
        return _gone_through(script, node, batch.id)
    if any(isinstance(one, LOOPS) for one in script.source.around(node)):
        return None if value is None else _whole(script, value)
    return batch.id if value is not None or isinstance(node, ast.Assign) else None


def _rows(script: Script, index: ast.expr, of: ast.Name) -> str | None:
    """Which rows the batches of a loop take together: '' for all, ``[:n]``, ``[train]``."""
    if isinstance(index, ast.Slice):
        return _sliced(script, index, of)
    loop = _loop_of(script, index)
    if loop is not None and isinstance(loop.iter, ast.Call) and is_method(loop.iter, "split"):
        return _order(script, _owner(loop.iter), of)
    bindings = script.scopes.bindings(index) if isinstance(index, ast.Name) else []
    value = bindings[0].value if len(bindings) == 1 else None
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Slice):
        return _order(script, value.value, of)
    return None


def _loop_of(script: Script, index: ast.expr) -> ast.For | None:
    """The loop whose counter an index is."""
    bindings = script.scopes.bindings(index) if isinstance(index, ast.Name) else []
    node = bindings[0].node if len(bindings) == 1 else None
    return node if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) else None


def _owner(call: ast.Call) -> ast.expr:
    return call.func.value if isinstance(call.func, ast.Attribute) else call.func


def _order(script: Script, order: ast.expr, of: ast.Name) -> str | None:
    """The rows that a permutation goes through."""
    origins = script.origins.of(order)
    made = origins[0] if len(origins) == 1 else order
    match made:
        case ast.Call(args=[count, *_]) if script.origins.called(made) == "torch.randperm":
            return _first(script, count, of)
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Call() as drawn) if (
            script.origins.called(drawn) == "torch.randperm"
        ):
            return f"[{name}]"
    return None


def _sliced(script: Script, index: ast.Slice, of: ast.Name) -> str | None:
    """The rows of ``x[i : i + n]`` for ``i in range(0, count, n)``."""
    loop = _loop_of(script, index.lower) if index.lower is not None else None
    call = loop.iter if loop is not None else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        return None
    counted = call.func.id == "range" and len(call.args) == 3
    return _first(script, call.args[1], of) if counted else None


def _first(script: Script, count: ast.expr, of: ast.Name) -> str:
    text = script.source.of(count)
    every = (f"len({of.id})", f"{of.id}.shape[0]", f"{of.id}.size(0)")
    return "" if text in every else f"[:{text}]"


def _gone_through(script: Script, loop: ast.For, name: str) -> str | None:
    """What a loop takes its batches from: a loader over tensors, the pieces of a table."""
    origins = script.origins.of(loop.iter)
    made = origins[0] if len(origins) == 1 else None
    if isinstance(made, ast.Call) and script.origins.called(made) == LOADER and made.args:
        return _of_tensors(script, made.args[0], loop.target, name)
    if isinstance(made, ast.Call) and is_method(made, "split"):
        owner = _owner(made)
        if isinstance(owner, ast.Subscript) and isinstance(owner.value, ast.Name):
            rows = _order(script, owner.slice, owner.value)
            return None if rows is None else owner.value.id + rows
    return None


def _of_tensors(script: Script, dataset: ast.expr, target: ast.expr, name: str) -> str | None:
    """The tensor of a ``TensorDataset`` whose rows a loop's target gets."""
    origins = script.origins.of(dataset)
    made = origins[0] if len(origins) == 1 else None
    full = script.origins.called(made) if isinstance(made, ast.Call) else ""
    if not isinstance(made, ast.Call) or full != "torch.utils.data.TensorDataset":
        return None
    names = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    for one, tensor in zip(names, made.args, strict=False):
        if isinstance(one, ast.Name) and one.id == name and not isinstance(tensor, ast.Starred):
            return script.source.of(tensor)
    return None
