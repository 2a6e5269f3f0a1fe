"""The source of the package as data, for the tests of its architecture."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "thalweg"
FRONT_DOOR = "front door"


@cache
def modules() -> dict[str, Path]:
    """Path by dotted name of every module of the package."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {dotted(path): path for path in paths}


def dotted(path: Path) -> str:
    """The dotted name of a module; a package has the name of its folder."""
    words = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


@cache
def tree(path: Path) -> ast.Module:
    """A module as a syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def folder(name: str) -> str:
    """The folder of the package that a dotted name lies in, or `front door` for the top."""
    words = name.split(".")
    inside = len(words) > 1 and (PACKAGE / words[1]).is_dir()
    return words[1] if inside else FRONT_DOOR


def imports(name: str, module: ast.Module, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports, wherever in it."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = origin(name, node, is_package)
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)


def origin(name: str, node: ast.ImportFrom, is_package: bool) -> str:
    """The absolute name that a `from ... import` starts at."""
    if node.level == 0:
        return node.module or ""
    words = name.split(".")
    up = node.level - 1 if is_package else node.level
    base = words[: len(words) - up]
    return ".".join([*base, *([node.module] if node.module else [])])
