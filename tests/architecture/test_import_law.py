"""Imports point downwards only: which folder may import which."""

import ast

import pytest
from source import FRONT_DOOR, folder, imports, modules, tree

LAW: dict[str, set[str]] = {
    "optim": {"minimize"},  # its methods appear there by name, loaded when asked for
    "operators": set(),
    "landscapes": set(),
    "report": set(),
    "recorder": set(),
    "testing": set(),
    "linalg": {"operators"},
    "curvature": {"linalg", "operators"},
    "minimize": {"linalg", "operators"},
    "pruning": {"linalg", "operators"},
    # `training`: what an initialization or a whitening is, in one place
    "interventions": {"recorder", "optim", "minimize", "training"},
    "obstacles": {"recorder", "interventions", "linalg", "operators", "curvature"},
    "trials": {"recorder", "interventions"},
    "edits": {"interventions", "optim"},
    "doctor": {"obstacles", "trials", "interventions", "recorder", "edits"},
    "watching": {"recorder", "obstacles", "report", "operators"},
    "integrations": {"watching", "report"},
    "survey": {"trials", "recorder", "curvature", "linalg", "operators", "optim", "pruning"},
    "race": {"trials", "interventions"},
    # `operators`: batches and random states; `linalg`: quantiles of intervals
    "training": {"optim", "minimize", "operators", "linalg"},
    "lectures": {
        "training",
        "landscapes",
        "optim",
        "minimize",
        "linalg",
        "operators",
        "curvature",
        "obstacles",
    },
}
FREE = {"cli", FRONT_DOOR}


def breaches(name: str, module: ast.Module, is_package: bool) -> list[str]:
    """The imports of a module that the law forbids, as sentences."""
    here = folder(name)
    if here in FREE:
        return []
    allowed = LAW[here] | {here}
    return [
        f"{name}:{line} imports {target}: {here} may import only {sorted(allowed)}"
        for line, target in imports(name, module, is_package)
        if target.split(".")[0] == "thalweg"
        and target != "thalweg.__version__"
        and folder(target) not in allowed
    ]


@pytest.mark.parametrize("name", modules())
def test_imports_point_downwards(name):
    path = modules()[name]
    assert breaches(name, tree(path), path.name == "__init__.py") == []


def test_every_folder_has_its_place_in_the_law():
    assert {folder(name) for name in modules()} <= LAW.keys() | FREE


def test_the_law_has_no_cycle():
    settled: set[str] = set()
    while ready := {name for name, below in LAW.items() if below <= settled} - settled:
        settled |= ready
    assert settled == LAW.keys()


@pytest.mark.parametrize(
    "line",
    [
        "import thalweg.cli.main",
        "from thalweg.optim import engine",
        "from thalweg import optim",
        "from thalweg import diagnose",
        "from ..optim import engine",
        "def inner():\n    from thalweg.report import read",
        "if TYPE_CHECKING:\n    import thalweg.optim",
    ],
)
def test_the_law_sees_every_form_of_import(line):
    assert breaches("thalweg.operators.hessian", ast.parse(line), is_package=False)


@pytest.mark.parametrize(
    "line",
    [
        "import torch",
        "from thalweg import __version__",
        "from thalweg.operators.operator import Operator",
        "from .operator import Operator",
    ],
)
def test_the_law_allows_what_lies_below(line):
    assert not breaches("thalweg.operators.hessian", ast.parse(line), is_package=False)
