"""Habits that a machine can check: names, docstrings, pure formulas."""

import ast
import re

import pytest
from source import PACKAGE, ROOT, modules, tree

EMPTY_NAMES = {"utils", "util", "misc", "common", "helpers", "helper", "tools", "stuff"}
FOLDERS = ("src", "tests", "examples", "benchmarks", "docs", "mutants")
FILES = [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*.py"))]
RULES = [name for name in modules() if name.startswith("thalweg.optim.rules.")]


def in_place(module: ast.Module) -> list[str]:
    """The expressions of a module that change a tensor where it lies."""
    return [ast.unparse(node) for node in ast.walk(module) if changes_its_tensor(node)]


def changes_its_tensor(node: ast.AST) -> bool:
    match node:
        case ast.AugAssign():
            return True
        case ast.Assign():
            return any(isinstance(target, ast.Subscript) for target in node.targets)
        case ast.Call(func=ast.Attribute(attr=name)) if re.search(r"[a-z0-9]_$", name):
            return True
        case ast.Call():
            return any(word.arg == "out" for word in node.keywords)
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_has_a_docstring(path):
    assert (ast.get_docstring(tree(path)) or "").strip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_hold_what_they_say(path):
    assert not EMPTY_NAMES & set(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("name", RULES)
def test_formulas_change_nothing_in_place(name):
    assert in_place(tree(modules()[name])) == []


@pytest.mark.parametrize("line", ["m += g", "m.mul_(b1)", "m[0] = g", "torch.add(m, g, out=m)"])
def test_arithmetic_in_place_is_noticed(line):
    assert in_place(ast.parse(line))


@pytest.mark.parametrize("line", ["m = b1 * m", "m = m.mul(b1)", "x = f._private()", "y = m[0]"])
def test_pure_arithmetic_is_left_alone(line):
    assert not in_place(ast.parse(line))


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").is_file()


def test_test_files_have_unique_names():
    found = [path.name for path in FILES if path.is_relative_to(ROOT / "tests")]
    names = [name for name in found if name != "conftest.py"]
    assert sorted(set(names)) == sorted(names), "pytest imports test files by their name alone"
