"""What watching found, given to writers: programs that keep scalars over steps and tell of alerts.

A writer is anything with the three methods of `Writer`; `thalweg.integrations` has some. What is
written is a step that was seen in full, what broke as it breaks, and at the end what is suspected.
The run does not notice: a writer that raises is asked no more, and one that draws random numbers
draws none of the program's.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

from thalweg.operators.random_state import RandomState
from thalweg.watching.trouble import Trouble

Level = Literal["warn", "error"]


class Writer(Protocol):
    """Keeps scalars over steps, and tells of alerts."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Keep these numbers (finite; names such as ``thalweg/loss``) of this step."""

    def alert(self, title: str, text: str, level: Level, step: int) -> None:
        """Tell of something: a title, a sentence or two, how bad it is, and at which step."""

    def close(self) -> None:
        """The run has ended: finish what was begun."""


class Writing:
    """Several writers behind one.

    Attributes:
        failed: Which writers have failed and how, in words.
    """

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = list(writers)
        self.failed: list[str] = []

    def looked(self, row: Mapping[str, Any]) -> None:
        """A step was seen in full."""
        values = scalars_of(row)
        self._each(lambda one: one.scalars(values, int(row["step"])))

    def broke(self, trouble: Trouble) -> None:
        """Something broke."""
        self._each(lambda one: one.alert("Training broke", trouble.says, "error", trouble.step))

    def ended(self, data: Mapping[str, Any]) -> None:
        """The run has ended with this report."""
        steps = int(data["script"]["steps"])
        for one in data["watched"]["suspicions"]:
            title, text = f"Suspected, not proved: {one['cause']}", one["summary"]
            self._each(partial(_warn, title=title, text=text, step=max(steps - 1, 0)))
        self._each(lambda one: one.close())

    def _each(self, send: Callable[[Writer], None]) -> None:
        """Do this with every writer; those that fail are left out from now on."""
        if not self._writers:
            return
        before = RandomState.now()
        for writer in list(self._writers):
            try:
                send(writer)
            except Exception as error:  # the run must not end by what only looks at it
                self._writers.remove(writer)
                name = type(writer).__name__
                said = f"{name}: {type(error).__name__}: {error}"
                self.failed.append(said)
                print(f"thalweg watch: {said}; it is asked no more", file=sys.stderr)
        before.restore()


def _warn(writer: Writer, title: str, text: str, step: int) -> None:
    writer.alert(title, text, "warn", step)


def scalars_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The scalars of a step in full, without those that are not finite or not known.

    Norms are Euclidean, over everything that the optimizers train.

    Args:
        row: What the recorder has written of the step.
    """
    trained = [one for one in row["parameters"] if one["trained"]]
    weight = _norm(one["norm"] for one in trained)
    update = _norm(one["update"] for one in trained)
    found = {
        "loss": row["loss"],
        "learning-rate": row["rate"],
        "gradient-norm": _norm(one["gradient"] for one in trained if one["gradient"] is not None),
        "weight-norm": weight,
        "update-norm": update,
        "update-over-weight": update / weight if weight and update is not None else None,
    }
    prefix = "thalweg/" + (f"optimizer-{row['optimizer']}/" if row["optimizer"] else "")
    known = {name: value for name, value in found.items() if value is not None}
    return {prefix + name: float(v) for name, v in known.items() if math.isfinite(v)}


def _norm(parts: Any) -> float | None:
    """The norm of what has parts of these norms; None if it has none."""
    norms = [math.nan if one is None else float(one) for one in parts]
    return math.hypot(*norms) if norms else None
