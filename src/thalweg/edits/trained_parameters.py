"""Every parameter trained: layers in a plain list or dictionary become part of their module."""

from __future__ import annotations

import ast

from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import TrainedParameters


def trained_parameters(script: Script, change: TrainedParameters) -> list[Replacement]:
    """Register what a module keeps where it is not looked for."""
    found = unregistered(script)
    if not found:
        raise NotPlaced("where the parameters are kept that nobody trains is not seen")
    return found


def unregistered(script: Script) -> list[Replacement]:
    """What would register everything that the script's modules keep in plain containers."""
    return [
        new
        for module in script.modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Assign) and _is_own(node.targets[0])
        for new in _registered(script, node.value)
    ]


def _is_own(target: ast.expr) -> bool:
    value = target.value if isinstance(target, ast.Attribute) else None
    return isinstance(value, ast.Name) and value.id == "self"


def _registered(script: Script, value: ast.expr) -> list[Replacement]:
    """A list of modules as a list that registers them, a leaf as a parameter."""
    if _is_leaf(script, value):
        return _wrapped(script, value, "Parameter")
    elements = _elements(value)
    if elements and all(script.is_module(one) for one in elements):
        kind = "ModuleList" if isinstance(value, ast.List | ast.ListComp) else "ModuleDict"
        return _wrapped(script, value, kind)
    return []


def _elements(value: ast.expr) -> list[ast.expr]:
    """What a list or a dictionary that is written out holds."""
    match value:
        case ast.List(elts=elements) | ast.Dict(values=elements):
            return elements
        case ast.ListComp(elt=element) | ast.DictComp(value=element):
            return [element]
    return []


def _wrapped(script: Script, value: ast.expr, kind: str) -> list[Replacement]:
    name, imports = script.written(f"torch.nn.{kind}")
    start, end = script.source.start(value), script.source.end(value)
    return [Replacement(start, start, f"{name}("), Replacement(end, end, ")"), *imports]


def _is_leaf(script: Script, value: ast.expr) -> bool:
    """Whether it is a tensor made to be trained."""
    made = isinstance(value, ast.Call) and script.origins.called(value).startswith("torch.")
    return made and isinstance(value, ast.Call) and any(
        word.arg == "requires_grad" and isinstance(word.value, ast.Constant) and word.value.value
        for word in value.keywords
    )  # fmt: skip
