"""Which installed modules a script imports, found without running it.

The nursery imports them once, so that every trial starts with them. Only what is installed counts,
the standard library and third-party packages: modules beside the script, or developed elsewhere on
the path, belong to the script's run. Neither are packages imported that do not survive a fork.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

UNFORKABLE = frozenset(
    ["cupy", "grpc", "horovod", "jax", "jaxlib", "mpi4py", "pycuda", "ray", "tensorflow", "tkinter"]
)
"""They start threads, devices or message passing when imported."""

Name = tuple[str, str]


def imports_of(script: Path) -> list[Name]:
    """The installed modules that ``script`` imports at its top level, in order.

    Returns:
        pairs of a module's dotted name and the name imported from it ('' for none); nothing if the
        script cannot be read or parsed, which is for its own run to say.
    """
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    beside = (script.resolve().parent, Path.cwd())
    names = dict.fromkeys(name for node in _top_level(tree.body) for name in _named(node))
    return [name for name in names if _is_installed(name[0].partition(".")[0], beside)]


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module does, those under ``if`` and ``try`` included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _top_level(node.body)


def _named(node: ast.stmt) -> Iterator[Name]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield from ((node.module, alias.name) for alias in node.names)


def _is_installed(top: str, beside: tuple[Path, ...]) -> bool:
    if top in UNFORKABLE or any(_has(folder, top) for folder in beside):
        return False
    if top in sys.modules or top in sys.builtin_module_names:
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return False
    places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
    return any(_lies_in(place, _installation()) for place in places)


def _has(folder: Path, top: str) -> bool:
    """Whether a module ``top`` in ``folder`` would come before an installed one."""
    return (
        (folder / top).is_dir() or any(folder.glob(f"{top}.*py*")) or any(folder.glob(f"{top}.*so"))
    )


def _installation() -> list[str]:
    paths = sysconfig.get_paths()
    here = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [*here, *site.getsitepackages(), site.getusersitepackages()]


def _lies_in(path: str, folders: list[str]) -> bool:
    real = os.path.realpath(path)
    return any(real.startswith(os.path.realpath(folder) + os.sep) for folder in folders)
