"""More epochs: the outermost loop that trains goes round several times as often.

What it changes: ``range(...)`` in the header of such a loop gives ``factor`` times as many numbers.
The loops are found in the script's source: a ``for`` over ``range`` that holds a backward pass, or
a call of one of the script's own functions that does. A loop over a loader alone, a ``while`` loop,
or one that a training library runs cannot be lengthened from outside. Schedules that were planned
for the shorter run go on in their own way.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.session import Session

TRAINS = frozenset({"backward", "grad", "minimize"})


@dataclass
class LongerTraining(Intervention):
    """Make ``factor`` times as many rounds."""

    kind: ClassVar[str] = "longer-training"
    factor: int = 3
    _lines: dict[str, frozenset[int]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise InterventionError(f"longer-training: factor={self.factor}: give 2 or more")

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "factor": self.factor}

    def started(self, session: Session) -> None:
        """Answer ``range`` from now on."""
        self._range = builtins.range
        setattr(builtins, "range", _standing_in(self._range, self._longer))  # noqa: B010

    def finished(self) -> None:
        """Give ``range`` back."""
        setattr(builtins, "range", self._range)  # noqa: B010

    def _longer(self, *args: int) -> range:
        own = self._range(*args)
        frame = sys._getframe(2)
        name = frame.f_code.co_filename
        if "site-packages" in name or not name.endswith(".py"):
            return own
        if name not in self._lines:
            self._lines[name] = training_loops(_source(name))
        if frame.f_lineno not in self._lines[name]:
            return own
        return self._range(own.start, own.start + self.factor * len(own) * own.step, own.step)

    def name(self) -> str:
        """A few words for a table."""
        return f"{self.factor} times as many epochs"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Train longer: about {self.factor} times as many epochs."

    def edit(self) -> str:
        """A line of code."""
        return f"for epoch in range({self.factor} * epochs):"


def _standing_in(own: type[range], longer: Callable[..., range]) -> type:
    """A ``range`` that makes real ranges, and that every real range is an instance of."""

    class Meta(type):
        def __call__(cls, *args: int) -> range:
            return longer(*args)

        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, own)

        def __eq__(cls, other: object) -> bool:
            return other is own or other is cls

        def __hash__(cls) -> int:
            return hash(own)

    return Meta("range", (), {"__doc__": own.__doc__})


def _source(name: str) -> str:
    try:
        return Path(name).read_text()
    except OSError:
        return ""


def training_loops(source: str) -> frozenset[int]:
    """Lines of the ``for ... in range(...)`` loops that train and stand in no other such loop."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return frozenset()
    training = training_functions(tree)
    loops = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.For) and _over_range(node) and trains(node, training)
    ]
    inner = {id(below) for loop in loops for below in ast.walk(loop) if below is not loop}
    called = {name for loop in loops for name in _calls(loop)} & training
    inner |= {
        id(below)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in called
        for below in ast.walk(node)
    }
    return frozenset(loop.iter.lineno for loop in loops if id(loop) not in inner)


def training_functions(tree: ast.AST) -> set[str]:
    """Functions of the script that train, themselves or through others of its functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    found: set[str] = set()
    while new := {f.name for f in functions if trains(f, found)} - found:
        found |= new
    return found


def _over_range(loop: ast.For) -> bool:
    call = loop.iter
    return (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
    )


def trains(node: ast.AST, training: set[str]) -> bool:
    """Whether a backward pass is taken inside, or one of these functions called."""
    return bool(_calls(node) & (TRAINS | training))


def _calls(node: ast.AST) -> set[str]:
    """The names of everything that is called inside."""
    calls = [below.func for below in ast.walk(node) if isinstance(below, ast.Call)]
    return {c.attr for c in calls if isinstance(c, ast.Attribute)} | {
        c.id for c in calls if isinstance(c, ast.Name)
    }
