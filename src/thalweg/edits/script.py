"""A script that is about to be edited: its source, and what its names mean."""

from __future__ import annotations

import ast

from thalweg.edits.lines import after
from thalweg.edits.origins import Origins
from thalweg.edits.scopes import Scopes
from thalweg.edits.source import LOOPS, NotPlaced, Replacement, Source
from thalweg.interventions.longer_training import training_functions, trains

MODULES = ("torch.nn.", "torchvision.models.")
NO_MODULES = ("functional", "init", "utils", "parallel", "Parameter", "ParameterList", "Buffer")


class Script:
    """What editors look at.

    Attributes:
        source: The text and the tree.
        scopes: What gives a name its value.
        origins: What a value may be.
    """

    def __init__(self, text: str, arguments: tuple[str, ...] = ()) -> None:
        self.source = Source(text, arguments)
        self.scopes = Scopes(self.source)
        self.origins = Origins(self.source, self.scopes)
        self._training = training_functions(self.source.tree)

    def calls(self) -> list[ast.Call]:
        """Every call."""
        return self.source.walk(ast.Call)

    def calls_to(self, *names: str) -> list[ast.Call]:
        """The calls of imported functions or classes with these full names."""
        return [one for one in self.calls() if self.origins.called(one) in names]

    def trains(self, node: ast.AST) -> bool:
        """Whether a backward pass is taken inside, or in a function that is called there."""
        return trains(node, self._training)

    def loops_around(self, node: ast.AST) -> list[ast.For | ast.While | ast.AsyncFor]:
        """The loops that a node stands in, from the inside out, within its function."""
        found = []
        scope = self.scopes.scope(node)
        for one in self.source.around(node):
            if one is scope:
                break
            if isinstance(one, LOOPS):
                found.append(one)
        return found

    def backwards(self) -> list[ast.Call]:
        """The backward passes: ``loss.backward()``, and gradients that are asked for."""
        asked = ("torch.autograd.backward", "torch.autograd.grad")
        return [one for one in self.calls() if is_method(one, "backward")
                or self.origins.called(one) in asked]  # fmt: skip

    def is_module(self, node: ast.AST) -> bool:
        """Whether an origin is a call that makes a module."""
        return isinstance(node, ast.Call) and self.makes_module(node.func)

    def makes_module(self, expr: ast.expr) -> bool:
        """Whether an expression is a module's class, PyTorch's or one of the script's own."""
        name = self.origins.dotted(expr)
        if name.startswith(MODULES):
            return name.split(".")[2] not in NO_MODULES
        definition = self.origins.class_of(expr)
        return definition is not None and self._is_a_module(definition)

    def _is_a_module(self, definition: ast.ClassDef) -> bool:
        return any(self.makes_module(base) for base in definition.bases)

    def modules(self) -> list[ast.ClassDef]:
        """The classes of the script that are modules."""
        return [one for one in self.source.walk(ast.ClassDef) if self._is_a_module(one)]

    def forwards(self) -> list[ast.FunctionDef]:
        """How these compute."""
        return [
            method
            for one in self.modules()
            for method in one.body
            if isinstance(method, ast.FunctionDef) and method.name == "forward"
        ]

    def written(self, full: str) -> tuple[str, list[Replacement]]:
        """How something imported is written in this script, and the import that this needs.

        ``torch.nn.ReLU`` is ``nn.ReLU`` in a script that imports ``nn``.
        """
        names = {name: start for name, start in self._imported() if _within(full, start)}
        if names:
            name = max(names, key=lambda one: len(names[one]))
            return name + full[len(names[name]) :], []
        package = full.rsplit(".", 1)[0] if full.startswith("thalweg.") else full.split(".")[0]
        return full, [self.behind_imports(f"import {package}")]

    def _imported(self) -> list[tuple[str, str]]:
        """Names that the script's top level imports, each with its full name."""
        found = []
        for node in self._imports():
            for alias in node.names:
                name = (alias.asname or alias.name).split(".")[0]
                if full := self.origins.dotted_at(name, node):
                    found.append((name, full))
        return found

    def _imports(self) -> list[ast.Import | ast.ImportFrom]:
        body = self.source.tree.body
        return [one for one in body if isinstance(one, ast.Import | ast.ImportFrom)]

    def behind_imports(self, line: str) -> Replacement:
        """A line behind the imports of the script's top level.

        Raises:
            NotPlaced: It imports nothing.
        """
        imports = self._imports()
        if not imports:
            raise NotPlaced("the script imports nothing behind which a line could stand")
        return after(self.source, imports[-1], line)


def _within(full: str, start: str) -> bool:
    return full == start or full.startswith(start + ".")


def is_method(call: ast.Call, name: str) -> bool:
    """Whether a call is one of a method with this name."""
    return isinstance(call.func, ast.Attribute) and call.func.attr == name
