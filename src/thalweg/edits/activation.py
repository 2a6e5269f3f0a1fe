"""Another activation at some places of the forward pass, and one where there is none."""

from __future__ import annotations

import ast

from thalweg.edits.forward_pass import (
    ACTIVATIONS,
    FUNCTIONS,
    NN,
    Part,
    activations,
    layers,
)
from thalweg.edits.numbers import number
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import ActivationSwap, InsertedActivation, Normalization

# Full name and further arguments: of the module, and of the function.
MODULES = {"leaky_relu": ("LeakyReLU", "0.1"), "relu": ("ReLU", ""), "tanh": ("Tanh", ""),
           "gelu": ("GELU", ""), "identity": ("Identity", "")}  # fmt: skip
CALLS = {"leaky_relu": ("torch.nn.functional.leaky_relu", ", 0.1"), "relu": ("torch.relu", ""),
         "tanh": ("torch.tanh", ""), "gelu": ("torch.nn.functional.gelu", "")}  # fmt: skip


def activation(script: Script, change: ActivationSwap) -> list[Replacement]:
    """Compute another function at the positions."""
    everywhere = sorted(change.positions) == list(range(change.period))
    try:
        parts = activations(script)
    except NotPlaced:
        if not everywhere:
            raise
        return _everywhere(script, change.to)
    if len(parts) != change.period:
        raise NotPlaced("the script shows other activations than its forward pass computes")
    chosen = [parts[at] for at in change.positions]
    shared = [one for one in parts if one not in chosen]
    return [new for one in chosen for new in _other(script, one, change.to, [*chosen, *shared])]


def _other(script: Script, part: Part, to: str, parts: list[Part]) -> list[Replacement]:
    """Another module where one is made for this place alone, else another function."""
    alone = part.made is not None and sum(one.made is part.made for one in parts) == 1
    if part.called is None or (alone and to != "identity"):
        if part.made is None or not alone:
            raise NotPlaced("one activation serves several places of a sequence")
        return _module(script, part.made, to)
    return _function(script, part.called, to)


def _module(script: Script, made: ast.Call, to: str) -> list[Replacement]:
    name, argument = MODULES[to]
    text, imports = script.written(NN + name)
    return [script.source.replaced(made, f"{text}({argument})"), *imports]


def _function(script: Script, called: ast.Call, to: str) -> list[Replacement]:
    """A call of another function with the same data, or the data alone."""
    data = called.args[0] if called.args else None
    if data is None and isinstance(called.func, ast.Attribute):
        data = called.func.value  # x.sigmoid()
    if data is None:
        raise NotPlaced("what an activation is applied to is not seen")
    inside = script.source.of(data)
    if to == "identity":
        is_part = isinstance(script.source.parent(called), ast.BinOp | ast.Attribute)
        return [script.source.replaced(called, f"({inside})" if is_part else inside)]
    text, imports = script.written(CALLS[to][0])
    start, end = script.source.start(called), script.source.end(called)
    before = Replacement(start, script.source.start(data), f"{text}(")
    return [before, Replacement(script.source.end(data), end, f"{CALLS[to][1]})"), *imports]


def _everywhere(script: Script, to: str) -> list[Replacement]:
    """Every activation that a module of the script is made of, wherever it is made."""
    if to == "identity":
        raise NotPlaced("where the activation is computed is not seen")
    classes = [NN + name for name in ACTIVATIONS]
    references = [
        one
        for kind in (ast.Attribute, ast.Name)
        for one in script.source.walk(kind)
        if script.origins.dotted(one) in classes
    ]
    found = [new for one in references for new in _class(script, one, to)]
    inside = [
        call
        for one in script.forwards()
        for call in ast.walk(one)
        if isinstance(call, ast.Call) and script.origins.called(call) in FUNCTIONS
    ]
    found += [new for call in inside for new in _function(script, call, to)]
    if not found:
        raise NotPlaced("where the activations are computed is not seen")
    return found


def _class(script: Script, reference: ast.expr, to: str) -> list[Replacement]:
    """Another class where one is called or handed on."""
    call = script.source.parent(reference)
    if isinstance(call, ast.Call) and call.func is reference:
        return _module(script, call, to)
    name, argument = MODULES[to]
    text, imports = script.written(NN + name)
    handed = f"lambda: {text}({argument})" if argument else text
    return [script.source.replaced(reference, handed), *imports]


def inserted_activation(script: Script, change: InsertedActivation) -> list[Replacement]:
    """Put an activation behind layers."""
    name, argument = MODULES[change.to]
    text, imports = script.written(NN + name)
    function, more = script.written(CALLS[change.to][0])
    found = []
    for part in _chosen(script, change.positions, change.period):
        rest = CALLS[change.to][1]
        found += _behind(script, part, f"{text}({argument})", f"{function}(", f"{rest})")
        found += imports if part.called is None else more
    return found


def normalization(script: Script, change: Normalization) -> list[Replacement]:
    """Put a normalization behind layers."""
    text, imports = script.written(NN + "LayerNorm")
    function, more = script.written("torch.nn.functional.layer_norm")
    found = []
    for part in _chosen(script, change.positions, change.period):
        width = part.made.args[1] if part.made and len(part.made.args) > 1 else None
        linear = part.made is not None and script.origins.called(part.made) == NN + "Linear"
        if width is None or not linear:
            raise NotPlaced("the width of a layer is not seen")
        if part.called is not None and number(width) is None:
            raise NotPlaced("the width of a layer is not seen where it is called")
        wide = script.source.of(width)
        layer = f"{text}({wide}, elementwise_affine=False)"
        found += _behind(script, part, layer, f"{function}(", f", ({wide},))")
        found += imports if part.called is None else more
    return found


def _chosen(script: Script, positions: list[int], period: int) -> list[Part]:
    """The layers at positions of a forward pass that has so many."""
    found = layers(script)
    if len(found) != period or any(at >= period for at in positions):
        raise NotPlaced("the script shows other layers than its forward pass computes")
    return [found[at] for at in positions]


def _behind(script: Script, part: Part, module: str, before: str, after: str) -> list[Replacement]:
    """A module behind an element of a sequence, or a function around a call."""
    source = script.source
    if part.called is not None:
        start, end = source.start(part.called), source.end(part.called)
        return [Replacement(start, start, before), Replacement(end, end, after)]
    parent = source.parent(part.made) if part.made else None
    sequences = script.calls_to(NN + "Sequential")
    in_sequence = any(parent is one for one in sequences)
    if part.made is None or not in_sequence:
        raise NotPlaced("a layer is made elsewhere than in its sequence")
    end = source.end(part.made)
    return [Replacement(end, end, f", {module}")]
