"""A script as text and as a syntax tree, and changes to the text at places of the tree.

The tree says where something stands; what changes is the text there and nothing else, so that
comments, blank lines and spacing stay as their author left them.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

Node = TypeVar("Node", bound=ast.AST)
Thing = TypeVar("Thing")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LOOPS = (ast.For, ast.While, ast.AsyncFor)


class NotPlaced(ValueError):
    """A change has no place in this script that is certain; the message says why."""


@dataclass(frozen=True, order=True)
class Replacement:
    """The text between two offsets becomes another."""

    start: int
    end: int
    text: str


class Source:
    """A script.

    Attributes:
        text: Its source, with its own ends of lines.
        arguments: The command line that it is run with.

    Raises:
        SyntaxError: It is no Python.
    """

    def __init__(self, text: str, arguments: tuple[str, ...] = ()) -> None:
        self.text = text
        self.arguments = arguments
        self.tree = ast.parse(text)
        self._walked: dict[type[ast.AST], list[Any]] = {}
        self._parents = {
            below: node for node in ast.walk(self.tree) for below in ast.iter_child_nodes(node)
        }

    @cached_property
    def _lines(self) -> list[tuple[int, str]]:
        """Offset and text of every line, as Python counts them."""
        pieces = re.findall(r".*?(?:\r\n|\r|\n)|.+\Z", self.text, re.DOTALL)
        starts = [0]
        for piece in pieces:
            starts.append(starts[-1] + len(piece))
        return list(zip(starts, [*pieces, ""], strict=True))

    @cached_property
    def newline(self) -> str:
        """What ends its lines."""
        return "\r\n" if "\r\n" in self.text else "\n"

    def walk(self, kind: type[Node]) -> list[Node]:
        """All nodes of a kind, in the order in which they stand."""
        if kind not in self._walked:
            found = (node for node in ast.walk(self.tree) if isinstance(node, kind))
            self._walked[kind] = ordered(found)
        return self._walked[kind]

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node that this one stands directly in."""
        return self._parents.get(node)

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, from the inside out."""
        while (above := self._parents.get(node)) is not None:
            yield above
            node = above

    def statement(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that a node belongs to."""
        inside = (one for one in (node, *self.around(node)) if isinstance(one, ast.stmt))
        return next(inside)

    def block(self, statement: ast.stmt) -> list[ast.stmt]:
        """The list of statements that a statement stands in."""
        above = self._parents[statement]
        for _, part in ast.iter_fields(above):
            if isinstance(part, list) and any(one is statement for one in part):
                return part
        raise AssertionError("a statement stands in a list")

    def offset(self, line: int, column: int) -> int:
        """Where a place of the tree is in the text; the tree counts columns in bytes."""
        start, text = self._lines[line - 1]
        return start + len(text.encode()[:column].decode())

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """The offset at which a node begins."""
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """The offset behind its last character."""
        return self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def of(self, node: ast.expr | ast.stmt | ast.keyword) -> str:
        """A node as it is written."""
        return self.text[self.start(node) : self.end(node)]

    def replaced(self, node: ast.expr | ast.stmt, text: str) -> Replacement:
        """Another text in a node's place."""
        return Replacement(self.start(node), self.end(node), text)

    def line_of(self, offset: int) -> tuple[int, int]:
        """Where the line around an offset begins, and where its text ends."""
        at = bisect_right(self._lines, offset, key=lambda line: line[0]) - 1
        start, text = self._lines[at]
        return start, start + len(text.rstrip("\r\n"))

    def changed(self, replacements: Iterable[Replacement]) -> str:
        """The text with every replacement made.

        Raises:
            NotPlaced: Two of them meet.
        """
        parts, at = [], 0
        for one in sorted(set(replacements)):
            if one.start < at:
                raise NotPlaced("two changes would meet at one place")
            parts += [self.text[at : one.start], one.text]
            at = one.end
        return "".join([*parts, self.text[at:]])


def ordered(nodes: Iterable[Node]) -> list[Node]:
    """Nodes in the order in which they stand."""
    return sorted(nodes, key=lambda one: (getattr(one, "lineno", 0), getattr(one, "col_offset", 0)))


def only(found: list[Thing], what: str) -> Thing:
    """The only one there is.

    Raises:
        NotPlaced: There is none, or several.
    """
    if len(found) != 1:
        raise NotPlaced(f"the script has {len(found) or 'no'} {what}, where one is needed")
    return found[0]
