"""The model that a script trains, the loss it takes, and the data that training goes through."""

from __future__ import annotations

import ast

from thalweg.edits.optimizers import optimizers
from thalweg.edits.script import Script, is_method
from thalweg.edits.source import FUNCTIONS, NotPlaced

LOADER = "torch.utils.data.DataLoader"
WITHOUT_GRADIENTS = ("torch.no_grad", "torch.inference_mode")


def model(script: Script) -> tuple[ast.Name, ast.AST]:
    """The one name whose parameters the optimizer is given, and the call that makes it.

    Raises:
        NotPlaced: There are several models, or it is not seen how the model is made.
    """
    names = [
        owner
        for made in optimizers(script)
        for call in ast.walk(made.params)
        if isinstance(call, ast.Call) and is_method(call, "parameters")
        and isinstance(owner := _owner(call), ast.Name)
    ]  # fmt: skip
    made = {origin for name in names for origin in script.origins.of(name)}
    if len(names) != 1 or len(made) != 1 or not script.is_module(next(iter(made))):
        raise NotPlaced("the one model that the optimizer trains is not seen")
    return names[0], made.pop()


def _owner(call: ast.Call) -> ast.expr:
    return call.func.value if isinstance(call.func, ast.Attribute) else call.func


def calls_of(script: Script, made: ast.AST) -> list[ast.Call]:
    """Every call of a model, by whatever name."""
    return [
        one
        for one in script.calls()
        if isinstance(one.func, ast.Name) and script.origins.of(one.func) == [made]
    ]


def without_gradients(script: Script, node: ast.AST) -> bool:
    """Whether a node stands where gradients are off."""
    for one in script.source.around(node):
        managers: list[ast.expr] = []
        if isinstance(one, ast.With):
            managers = [item.context_expr for item in one.items]
        elif isinstance(one, ast.FunctionDef):
            managers = one.decorator_list
        if any(_name_of(script, each) in WITHOUT_GRADIENTS for each in managers):
            return True
        if isinstance(one, FUNCTIONS):
            return False
    return False


def _name_of(script: Script, manager: ast.expr) -> str:
    return script.origins.dotted(manager.func if isinstance(manager, ast.Call) else manager)


def training_loops(script: Script) -> list[ast.For]:
    """The ``for`` loops in which backward passes are taken, the inner ones as well."""
    return [one for one in script.source.walk(ast.For) if script.trains(one)]


def training_loaders(script: Script) -> list[ast.Call]:
    """The loaders that training goes through."""
    found = []
    for loop in training_loops(script):
        for inside in (loop.iter, *_arguments(script, loop.iter)):
            origins = script.origins.of(inside)
            found += [
                one
                for one in origins
                if isinstance(one, ast.Call) and script.origins.called(one) == LOADER
            ]
    return list(dict.fromkeys(found))


def _arguments(script: Script, expr: ast.expr) -> list[ast.expr]:
    """What is gone through under ``enumerate(...)``, ``tqdm(...)`` and the like."""
    if not isinstance(expr, ast.Call) or script.origins.called(expr) == LOADER:
        return []
    return [one for arg in expr.args for one in (arg, *_arguments(script, arg))]


def loss_calls(script: Script) -> list[tuple[ast.Call, str, ast.Call | None]]:
    """Calls of PyTorch's losses: the call, the loss's full name, and where its object is made."""
    found: list[tuple[ast.Call, str, ast.Call | None]] = []
    for call in script.calls():
        name = script.origins.called(call)
        if name.startswith("torch.nn.functional."):
            found.append((call, name, None))
            continue
        for one in script.origins.of(call.func) if not name else []:
            if isinstance(one, ast.Call) and script.origins.called(one).endswith("Loss"):
                found.append((call, script.origins.called(one), one))
    return found
