"""What a name means where it stands: the statements that give it a value, found in the source."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass

from thalweg.edits.source import FUNCTIONS, Source

Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
SCOPES = (ast.Module, *FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True)
class Binding:
    """One place at which a name gets a value.

    Attributes:
        node: What binds it: a statement, a parameter, an import.
        value: The expression whose value it gets, where there is such an expression.
        part_of: The expression of which it gets one element, by its position.
    """

    node: ast.AST
    value: ast.expr | None = None
    part_of: tuple[ast.expr, int] | None = None


class Scopes:
    """The names of a script by the scope that they belong to."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._bound: dict[ast.AST, dict[str, list[Binding]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self._outside: dict[ast.AST, dict[str, bool]] = defaultdict(dict)  # name: is it global
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Global | ast.Nonlocal):
                names = dict.fromkeys(node.names, isinstance(node, ast.Global))
                self._outside[self.scope(node)] |= names
        for node in ast.walk(source.tree):
            self._bind(node)

    def scope(self, node: ast.AST) -> Scope:
        """The innermost function, class or module around a node."""
        found = next(one for one in self._source.around(node) if isinstance(one, SCOPES))
        return found

    def bindings(self, name: ast.Name) -> list[Binding]:
        """Every place that may give a name the value that it has here; none if it is built in."""
        return self.visible(name.id, name)

    def visible(self, name: str, at: ast.AST) -> list[Binding]:
        """The same for a name that could be written at a node."""
        found = self._home(name, at)
        return [] if found is None else self._bound[found][name]

    def same(self, left: ast.Name, right: ast.Name) -> bool:
        """Whether two names are one variable."""
        return left.id == right.id and self._home(left.id, left) is self._home(right.id, right)

    def uses(self, name: ast.Name) -> list[ast.Name]:
        """Every place that reads the variable."""
        return [
            one
            for one in self._source.walk(ast.Name)
            if isinstance(one.ctx, ast.Load) and self.same(one, name)
        ]

    def _home(self, name: str, at: ast.AST) -> ast.AST | None:
        for number, scope in enumerate(self._around(at)):
            if isinstance(scope, ast.ClassDef) and number:
                continue  # the names of a class body are not those of its methods
            if self._outside[scope].get(name):
                return self._source.tree
            if name in self._bound[scope]:
                return scope
        return None

    def _around(self, at: ast.AST) -> list[ast.AST]:
        """The scopes around a node; a default and a decorator stand outside of their function."""
        found: list[ast.AST] = []
        below, outside = at, False
        for above in self._source.around(at):
            outside |= isinstance(above, ast.arguments) and not isinstance(below, ast.arg)
            if isinstance(above, SCOPES):
                if not outside and not _in_header(above, below):
                    found.append(above)
                outside = False
            below = above
        return found

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._unpack(target, node, value)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                self._unpack(target, node, value)
            case ast.NamedExpr(target=target, value=value):
                self._unpack(target, node, value)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._add(node.name, node, Binding(node))
            case ast.arg():
                self._add(node.arg, node, Binding(node))
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    self._add((alias.asname or alias.name).split(".")[0], node, Binding(node))
            case ast.ExceptHandler(name=str(name)):
                self._add(name, node, Binding(node))
            case ast.Name(ctx=ast.Store() | ast.Del()) if not self._is_assigned(node):
                self._add(node.id, node, Binding(self._source.statement(node)))

    def _unpack(self, target: ast.expr, node: ast.AST, value: ast.expr | None) -> None:
        match target, value:
            case ast.Name(id=name), _:
                self._add(name, node, Binding(node, value))
            case (
                (ast.Tuple(elts=names) | ast.List(elts=names)),
                (ast.Tuple(elts=values) | ast.List(elts=values)),
            ) if len(names) == len(values):
                for one, part in zip(names, values, strict=True):
                    self._unpack(one, node, part)
            case ((ast.Tuple(elts=names) | ast.List(elts=names)), _):
                for at, one in enumerate(names):
                    self._unpack_part(one, node, value, at)

    def _unpack_part(
        self, target: ast.expr, node: ast.AST, whole: ast.expr | None, at: int
    ) -> None:
        """One of several names that are bound by one expression."""
        if isinstance(target, ast.Name):
            part_of = None if whole is None else (whole, at)
            self._add(target.id, node, Binding(node, None, part_of))
        elif isinstance(target, ast.Starred):
            self._unpack_part(target.value, node, None, at)
        else:
            self._unpack(target, node, None)

    def _is_assigned(self, name: ast.Name) -> bool:
        """Whether the name is a target that its statement has bound already."""
        inside = (ast.Tuple, ast.List, ast.Starred)
        above = next(one for one in self._source.around(name) if not isinstance(one, inside))
        if isinstance(above, ast.AnnAssign):
            return above.value is not None
        return isinstance(above, ast.Assign | ast.NamedExpr)

    def _add(self, name: str, at: ast.AST, binding: Binding) -> None:
        scope: ast.AST = self.scope(at)
        if self._outside[scope].get(name) is False:  # nonlocal
            scope = self.scope(scope)
        self._bound[self._source.tree if self._outside[scope].get(name) else scope][name].append(
            binding
        )


def _in_header(above: ast.AST, below: ast.AST) -> bool:
    """Whether a node belongs to what surrounds a function and not to what it names inside."""
    if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
        return any(below is one for one in above.decorator_list) or below is above.returns
    return False
