"""Where the value of an expression comes from: followed through names, parameters and returns.

What is followed is what can be read off the source for certain. A name that something else may
bind as well (a loop, an argument of a function that is handed around) has unknown origins.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from thalweg.edits.scopes import Binding, Scopes
from thalweg.edits.source import Source

DEEPEST = 12
# Methods of modules and tensors that give the object itself, or the same elsewhere.
ITSELF = frozenset(
    "to cuda cpu double float half bfloat16 eval train requires_grad_ apply share_memory".split()  # noqa: SIM905
)


class Unknown(Exception):
    """The value may come from where the source does not show."""


class Origins:
    """The origins of expressions of one script."""

    def __init__(self, source: Source, scopes: Scopes) -> None:
        self._source, self._scopes = source, scopes
        self._known: dict[ast.expr, list[ast.AST]] = {}
        self._calls: dict[str, list[ast.Call]] = {}
        for call in source.walk(ast.Call):
            if isinstance(call.func, ast.Name):
                self._calls.setdefault(call.func.id, []).append(call)

    def of(self, expr: ast.expr) -> list[ast.AST]:
        """Expressions, functions, classes and imports that it may be; none if that is unknown."""
        if expr not in self._known:
            self._known[expr] = []  # what comes from itself is unknown
            self._known[expr] = self._found(expr)
        return self._known[expr]

    def _found(self, expr: ast.expr) -> list[ast.AST]:
        try:
            return list(dict.fromkeys(self._follow(expr, 0)))
        except Unknown:
            return []

    def dotted(self, expr: ast.expr) -> str:
        """The full name of something imported, as in ``torch.optim.Adam``; empty if it is not."""
        if isinstance(expr, ast.Attribute):
            start = self.dotted(expr.value)
            return f"{start}.{expr.attr}" if start else ""
        if not isinstance(expr, ast.Name):
            return ""
        return self.dotted_at(expr.id, expr)

    def dotted_at(self, name: str, at: ast.AST) -> str:
        """The full name of what a name stands for that could be written at a node."""
        names = {_imported(one.node, name) for one in self._scopes.visible(name, at)}
        return names.pop() if len(names) == 1 else ""

    def called(self, call: ast.Call) -> str:
        """The full name of the imported function or class that is called; empty if it is none."""
        return self.dotted(call.func)

    def class_of(self, expr: ast.expr) -> ast.ClassDef | None:
        """The class of the script that a name stands for."""
        found = self.of(expr) if isinstance(expr, ast.Name) else []
        return found[0] if len(found) == 1 and isinstance(found[0], ast.ClassDef) else None

    def function(self, call: ast.Call) -> ast.FunctionDef | None:
        """The function of the script that is called."""
        found = self.of(call.func) if isinstance(call.func, ast.Name) else []
        return found[0] if len(found) == 1 and isinstance(found[0], ast.FunctionDef) else None

    def calls_of(self, function: ast.FunctionDef) -> list[ast.Call]:
        """Every call of a function of the script; none if it is handed around as well."""
        named = self._calls.get(function.name, [])
        calls = [one for one in named if self.function(one) is function]
        reads = [
            one
            for one in self._source.walk(ast.Name)
            if one.id == function.name and isinstance(one.ctx, ast.Load)
        ]
        return calls if {id(one) for one in reads} == {id(one.func) for one in calls} else []

    def _follow(self, expr: ast.expr, depth: int) -> Iterable[ast.AST]:
        if depth > DEEPEST:
            raise Unknown
        match expr:
            case ast.Name():
                return self._name(expr, depth)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return self._attribute(expr, name, depth)
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if (
                name in ITSELF and not self.dotted(expr.func)
            ):
                return self._follow(value, depth + 1)
            case ast.Call(func=ast.Name()) if (function := self.function(expr)) is not None:
                return self._returned(function, depth)
            case ast.IfExp(body=body, orelse=orelse):
                return [*self._follow(body, depth + 1), *self._follow(orelse, depth + 1)]
            case ast.NamedExpr(value=value):
                return self._follow(value, depth + 1)
        return [expr]

    def _name(self, name: ast.Name, depth: int) -> Iterable[ast.AST]:
        bindings = self._scopes.bindings(name)
        if not bindings:
            raise Unknown
        return [one for binding in bindings for one in self._binding(binding, name, depth)]

    def _binding(self, binding: Binding, name: ast.Name, depth: int) -> Iterable[ast.AST]:
        if binding.value is not None:
            return self._follow(binding.value, depth + 1)
        if binding.part_of is not None:
            return self._part(*binding.part_of, depth)
        match binding.node:
            case ast.FunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                return [binding.node]
            case ast.arg():
                values = self.given(binding.node)
                return [one for value in values for one in self._follow(value, depth + 1)]
        raise Unknown

    def _part(self, whole: ast.expr, at: int, depth: int) -> Iterable[ast.AST]:
        """One element of the tuple that a function of the script returns."""
        function = self.function(whole) if isinstance(whole, ast.Call) else None
        values = [] if function is None else self._returns(function)
        tuples = [one.elts for one in values if isinstance(one, ast.Tuple)]
        parts = [one[at] for one in tuples if at < len(one)]
        if not values or len(parts) < len(values):
            raise Unknown
        return [one for part in parts for one in self._follow(part, depth + 1)]

    def given(self, parameter: ast.arg) -> list[ast.expr]:
        """What the calls of its function give for a parameter, or its default.

        Raises:
            Unknown: Not all calls are seen.
        """
        function = self._scopes.scope(parameter)
        if not isinstance(function, ast.FunctionDef):
            raise Unknown
        calls = self.calls_of(function)
        if not calls:
            raise Unknown
        return [_argument(function, parameter, call) for call in calls]

    def _attribute(self, expr: ast.Attribute, name: str, depth: int) -> Iterable[ast.AST]:
        """What the methods of its class assign to an attribute of ``self``."""
        classes = [one for one in self._source.around(expr) if isinstance(one, ast.ClassDef)]
        if not classes:
            raise Unknown
        values = [
            node.value
            for node in ast.walk(classes[0])
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Attribute) and target.attr == name and _is_self(target.value)
        ]
        if not values:
            raise Unknown
        return [one for value in values for one in self._follow(value, depth + 1)]

    def _returned(self, function: ast.FunctionDef, depth: int) -> Iterable[ast.AST]:
        values = self._returns(function)
        return [one for value in values for one in self._follow(value, depth + 1)]

    def _returns(self, function: ast.FunctionDef) -> list[ast.expr]:
        """What a function may return."""
        inside = list(ast.walk(function))
        returns = [
            one
            for one in inside
            if isinstance(one, ast.Return) and self._scopes.scope(one) is function
        ]
        values = [one.value for one in returns if one.value is not None]
        yields = any(isinstance(one, ast.Yield | ast.YieldFrom) for one in inside)
        if yields or not values or len(values) < len(returns):
            raise Unknown
        return values


def _is_self(expr: ast.expr) -> bool:
    return isinstance(expr, ast.Name) and expr.id == "self"


def _argument(function: ast.FunctionDef, parameter: ast.arg, call: ast.Call) -> ast.expr:
    """What a call gives for a parameter."""
    if any(isinstance(one, ast.Starred) for one in call.args):
        raise Unknown
    named = {one.arg: one.value for one in call.keywords}
    if None in named:
        raise Unknown
    own = function.args
    positional = [*own.posonlyargs, *own.args]
    if parameter.arg in named:
        return named[parameter.arg]
    if parameter in positional and (at := positional.index(parameter)) < len(call.args):
        return call.args[at]
    default = default_of(function, parameter)
    if default is None:
        raise Unknown
    return default


def default_of(function: ast.FunctionDef, parameter: ast.arg) -> ast.expr | None:
    """The default of a parameter."""
    own = function.args
    positional = [*own.posonlyargs, *own.args]
    defaults: dict[ast.arg, ast.expr | None] = dict(
        zip(reversed(positional), reversed(own.defaults), strict=False)
    )
    defaults |= dict(zip(own.kwonlyargs, own.kw_defaults, strict=True))
    return defaults.get(parameter)


def _imported(node: ast.AST, name: str) -> str:
    """What a name stands for that an import binds."""
    match node:
        case ast.Import(names=aliases):
            for alias in aliases:
                if alias.asname == name:
                    return alias.name
                if alias.asname is None and alias.name.split(".")[0] == name:
                    return name
        case ast.ImportFrom(module=str(module), names=aliases, level=0):
            for alias in aliases:
                if (alias.asname or alias.name) == name:
                    return f"{module}.{alias.name}"
    return ""
