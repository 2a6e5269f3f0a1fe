"""The layers and activations of a forward pass, in the order in which they are computed.

Only where the source shows that order: a sequence of PyTorch's own layers, or a ``forward`` without
branches and loops whose parts are such sequences and layers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced
from thalweg.edits.training import model

NN, F = "torch.nn.", "torch.nn.functional."
LINEAR = ("Linear", "Conv1d", "Conv2d", "Conv3d")
# Class of PyTorch to function of the same activation.
ACTIVATIONS = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "ReLU": "relu", "ReLU6": "relu6", "ELU": "elu",
    "LeakyReLU": "leaky_relu", "SELU": "selu", "CELU": "celu", "GELU": "gelu", "SiLU": "silu",
    "Mish": "mish", "Softplus": "softplus", "Hardtanh": "hardtanh", "Softsign": "softsign",
    "Hardsigmoid": "hardsigmoid", "Hardswish": "hardswish", "LogSigmoid": "logsigmoid",
}  # fmt: skip
FUNCTIONS = {F + one for one in ACTIVATIONS.values()} | {
    f"torch.{one}" for one in ("sigmoid", "tanh", "relu", "selu", "celu")
}
METHODS = ("sigmoid", "tanh", "relu")
# Other parts of a network without a weight that a layer would be counted by.
NEUTRAL = ("Flatten", "Unflatten", "Identity", "Softmax", "LogSoftmax", "Dropout", "Dropout1d",
           "Dropout2d", "BatchNorm1d", "BatchNorm2d", "LayerNorm", "GroupNorm", "MaxPool1d",
           "MaxPool2d", "AvgPool1d", "AvgPool2d", "AdaptiveAvgPool1d",
           "AdaptiveAvgPool2d")  # fmt: skip
OPAQUE = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.IfExp, ast.ListComp, ast.GeneratorExp,
          ast.DictComp, ast.SetComp, ast.Lambda, ast.MatMult, ast.FunctionDef)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A layer or an activation.

    Attributes:
        made: The call that constructs it; None for a function.
        called: The call that computes it; None in a sequence, which calls it by itself.
        is_layer: A layer with a weight, else an activation.
    """

    made: ast.Call | None
    called: ast.Call | None
    is_layer: bool


def forward_pass(script: Script) -> list[Part]:
    """What the trained model computes, in order.

    Raises:
        NotPlaced: The source does not show it.
    """
    _, made = model(script)
    if not isinstance(made, ast.Call):
        raise NotPlaced("how the model is made is not seen")
    return list(_parts(script, made, None))


def activations(script: Script) -> list[Part]:
    """The activations alone."""
    return [one for one in forward_pass(script) if not one.is_layer]


def layers(script: Script) -> list[Part]:
    """The layers alone."""
    return [one for one in forward_pass(script) if one.is_layer]


def _parts(script: Script, made: ast.Call, called: ast.Call | None) -> Iterator[Part]:
    name = script.origins.called(made).removeprefix(NN)
    if name == "Sequential":
        if made.keywords or any(isinstance(one, ast.Starred) for one in made.args):
            raise NotPlaced("the layers of a sequence are collected elsewhere")
        for element in made.args:
            yield from _parts(script, _made(script, element), None)
    elif name in LINEAR or name in ACTIVATIONS:
        yield Part(made, called, name in LINEAR)
    elif name not in NEUTRAL:
        yield from _of_class(script, made)


def _made(script: Script, expr: ast.expr) -> ast.Call:
    """The call that makes a part."""
    origins = script.origins.of(expr)
    if len(origins) != 1 or not isinstance(origins[0], ast.Call):
        raise NotPlaced(f"how {script.source.of(expr)} is made is not seen")
    return origins[0]


def _of_class(script: Script, made: ast.Call) -> Iterator[Part]:
    """What the ``forward`` of a class of the script computes."""
    found = script.origins.of(made.func) if isinstance(made.func, ast.Name) else []
    own = found[0] if len(found) == 1 and isinstance(found[0], ast.ClassDef) else None
    forwards = [one for one in script.forwards() if own is not None and one in own.body]
    if len(forwards) != 1:
        raise NotPlaced(f"what {script.source.of(made.func)} computes is not seen")
    for statement in forwards[0].body:
        if any(isinstance(one, OPAQUE) for one in ast.walk(statement)):
            raise NotPlaced("the forward pass has branches or loops")
        for call in _evaluated(statement):
            yield from _computed(script, call)


def _evaluated(node: ast.AST) -> Iterator[ast.Call]:
    """Calls in the order in which they are evaluated: arguments before what they are given to."""
    for below in ast.iter_child_nodes(node):
        yield from _evaluated(below)
    if isinstance(node, ast.Call):
        yield node


def _computed(script: Script, call: ast.Call) -> Iterator[Part]:
    """What one call of a forward pass computes."""
    name, func = script.origins.called(call), call.func
    if name in FUNCTIONS:
        yield Part(None, call, False)
    elif name.startswith(("torch.bmm", "torch.matmul", "torch.mm", "torch.einsum", F + "linear")):
        raise NotPlaced("the forward pass multiplies by weights itself")
    elif not name and isinstance(func, ast.Attribute):
        if isinstance(func.value, ast.Name) and func.value.id == "self":
            yield from _parts(script, _made(script, func), call)
        elif func.attr in METHODS:
            yield Part(None, call, False)
        elif func.attr in ("matmul", "mm", "bmm", "clamp", "clamp_min"):
            raise NotPlaced("the forward pass computes something that is not followed")
