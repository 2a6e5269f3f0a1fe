"""New lines beside a statement, with its indentation; inside its line where it shares one."""

from __future__ import annotations

import ast
import re

from thalweg.edits.source import Replacement, Source

DEFINITIONS: tuple[type[ast.FunctionDef | ast.ClassDef], ...] = (ast.FunctionDef, ast.ClassDef)


def before(source: Source, statement: ast.stmt, *lines: str) -> Replacement:
    """Lines in front of a statement."""
    first = _first(source, statement)
    begin, _ = source.line_of(first)
    indent = source.text[begin:first]
    if indent.strip():  # it stands behind a colon or a semicolon
        return Replacement(first, first, "".join(f"{line}; " for line in lines))
    return Replacement(begin, begin, "".join(f"{indent}{line}{source.newline}" for line in lines))


def after(source: Source, statement: ast.stmt, *lines: str) -> Replacement:
    """Lines behind a statement, and behind the comment on its last line."""
    first, last = _first(source, statement), source.end(statement)
    begin, _ = source.line_of(first)
    _, end = source.line_of(last)
    indent, rest = source.text[begin:first], source.text[last:end].strip()
    if indent.strip() or (rest and not rest.startswith("#")):
        return Replacement(last, last, "".join(f"; {line}" for line in lines))
    return Replacement(end, end, "".join(f"{source.newline}{indent}{line}" for line in lines))


def removed(source: Source, statement: ast.stmt) -> Replacement:
    """A statement taken away with its line; ``pass`` where it shares one or stands alone."""
    begin, _ = source.line_of(source.start(statement))
    _, end = source.line_of(source.end(statement))
    beside = source.text[begin : source.start(statement)] + source.text[source.end(statement) : end]
    if len(source.block(statement)) == 1 or re.match(r"\s*[^\s#]", beside):
        return source.replaced(statement, "pass")
    return Replacement(begin, end + len(source.newline), "")


def _first(source: Source, statement: ast.stmt) -> int:
    """Where a statement begins, its decorators included."""
    marks = getattr(statement, "decorator_list", [])
    if not marks:
        return source.start(statement)
    begin, _ = source.line_of(source.start(marks[0]))
    return begin + len(source.text[begin:]) - len(source.text[begin:].lstrip())


def fresh(source: Source, *choices: tuple[str, ...]) -> tuple[str, ...]:
    """The first choice of names of which the script uses none; the last one, numbered, if all."""
    taken = {one.id for one in source.walk(ast.Name)} | {one.arg for one in source.walk(ast.arg)}
    taken |= {one.name for kind in DEFINITIONS for one in source.walk(kind)}
    taken |= {(one.asname or one.name).split(".")[0] for one in source.walk(ast.alias)}
    numbered = (tuple(f"{name}_{n}" for name in choices[-1]) for n in range(2, 1000))
    return next(names for names in (*choices, *numbered) if not taken & set(names))
