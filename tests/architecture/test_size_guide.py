"""The size guide: small functions, files that can be read in one sitting."""

import ast
import re
import statistics

import pytest
from source import PACKAGE, modules, tree

LONG_FILE, LONGEST_FILE = 400, 600
MEDIAN_FUNCTION, NINE_TENTHS = 10, 40
CORE_OF_OPTIM = 600


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and its docstring."""
    first = function.body[0]
    is_documented = isinstance(first, ast.Expr) and is_text(first.value)
    docstring = first.end_lineno - first.lineno + 1 if is_documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


def functions(module: ast.Module) -> list[int]:
    """The sizes of all functions of a module."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [body_lines(node) for node in ast.walk(module) if isinstance(node, kinds)]


def code_lines(path):
    """Lines of a file without blank lines, comments and docstrings."""
    module = tree(path)
    texts = [n for n in ast.walk(module) if isinstance(n, ast.Expr) and is_text(n.value)]
    prose = {line for text in texts for line in range(text.lineno, text.end_lineno + 1)}
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return sum(bool(re.match(r"\s*[^\s#]", line)) for at, line in lines if at not in prose)


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def line_count(path):
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("name", modules())
def test_files_are_short(name):
    path = modules()[name]
    limit = LONGEST_FILE if (path.parent / "README.md").exists() else LONG_FILE
    assert line_count(path) <= limit, "split it, or say in a README.md beside it why it is long"


def test_functions_are_small():
    sizes = [size for path in modules().values() for size in functions(tree(path))]
    assert statistics.median(sizes) < MEDIAN_FUNCTION
    assert statistics.quantiles(sizes, n=10)[-1] < NINE_TENTHS


def test_the_core_of_optim_is_readable_alone():
    core = [path for path in (PACKAGE / "optim").glob("*.py") if path.name != "__init__.py"]
    assert sum(map(code_lines, core)) < CORE_OF_OPTIM  # the list of names is not read


def test_code_is_counted_without_prose(tmp_path):
    path = tmp_path / "module.py"
    path.write_text('"""One.\n\nTwo.\n"""\n\n# why\nx = """a\nb"""\n\ny = 1  # how\n')
    assert code_lines(path) == 3


def test_the_count_leaves_decorators_and_docstring_out():
    source = '@cache\ndef f(\n    x,\n):\n    """One.\n\n    Two.\n    """\n    return x\n'
    assert functions(ast.parse(source)) == [4]
