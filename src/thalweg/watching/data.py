"""A watched run as plain data: a report of schema 1 whose verdict is ``watched``."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from thalweg.obstacles.suspicion import Suspicion
from thalweg.recorder import Recording
from thalweg.recorder.curve import loss_curve, measure_curve
from thalweg.watching.pace import Pace
from thalweg.watching.trouble import Trouble

NOTEBOOK, NAMELESS = "this notebook", "this program"  # what is no script


@dataclass(frozen=True)
class Watched:
    """What there is to say of a run.

    Attributes:
        script: Its path as it was named, and its arguments.
        recording: What was seen.
        suspicions: What that raises, strongest first.
        trouble: What broke, if anything did.
        ended: How the run ended, in the words of a trial, and why.
        pace: What watching took.
        sampled: How many steps were seen in full.
        failed: Judgements that failed, in words.
    """

    script: tuple[str, Sequence[str]]
    recording: Recording
    suspicions: Sequence[Suspicion]
    trouble: Trouble | None
    ended: tuple[str, str]
    pace: Pace
    seconds: float
    sampled: int
    failed: Sequence[str]

    def as_data(self) -> dict[str, Any]:
        """The report; strict JSON."""
        path, arguments = self.script
        steps = _steps(self.recording)
        return dict(_strict({
            "schema": 1,
            "thalweg": version("thalweg"),
            "script": {
                "path": path,
                "arguments": list(arguments),
                "steps": steps,
                "seconds": self.seconds,
                "finished": self.ended[0] == "finished",
            },
            "verdict": "watched",
            "reason": self._reason(),
            "findings": [],
            "ruled_out": [],
            "baseline": self._baseline(steps),
            "watched": {
                "suspicions": [_suspicion(one) for one in self.suspicions],
                "trouble": None if self.trouble is None else asdict(self.trouble),
                "overhead": self.pace.own / max(self.seconds - self.pace.own, 1e-9),
                "budget": self.pace.budget,
                "sampled": self.sampled,
                "proof": self._proof(),
            },
            "budget": {
                "seconds": self.pace.own,
                "limit": None,
                "plain_seconds": max(self.seconds - self.pace.own, 0.0),
                "trials": 0,
                "interrupted": self.ended[0] == "interrupted",
                "trouble": list(self.failed),
            },
            "environment": {
                "python": platform.python_version(),
                "torch": version("torch"),
                "platform": platform.platform(),
                "device": self.recording.summary.get("device", "cpu"),
            },
        }))  # fmt: skip

    def _proof(self) -> str:
        """The command that would tell which suspicion is the cause."""
        path, arguments = self.script
        name = "SCRIPT" if path in (NOTEBOOK, NAMELESS) else path
        return " ".join(["thalweg diagnose", name, *arguments])

    def _reason(self) -> str:
        """One sentence for a person."""
        if self.trouble is not None:
            return f"Step {self.trouble.step}: {self.trouble.says}"
        if not self.recording.steps:
            return "No update of any parameter was seen."
        if not self.suspicions:
            return "Nothing is suspected; a look this cheap clears nothing."
        return "Suspected from what was seen; nothing is proved."

    def _baseline(self, steps: int) -> dict[str, Any] | None:
        """The run itself as a report carries a run; None if it made no update."""
        if not steps:
            return None
        seen, measure = self.recording, self.recording.measure()
        return {
            "name": "as it is",
            "interventions": [],
            "seed": 0,
            "ended": self.ended[0],
            "reason": self.ended[1],
            "seconds": self.seconds,
            "steps": steps,
            "loss": loss_curve(seen.losses(seen.optimizers[0])),
            "measure": measure_curve(seen, measure),
            "score": None,
            "gain": None,
        }


def _steps(recording: Recording) -> int:
    return max((int(row["step"]) + 1 for row in recording.steps), default=0)


def _suspicion(one: Suspicion) -> dict[str, Any]:
    return {
        "cause": one.cause,
        "strength": one.strength,
        "summary": one.summary,
        "evidence": dict(one.evidence),
    }


def _strict(data: Any) -> Any:
    """The same data with None for numbers that are not finite: reports are strict JSON."""
    if isinstance(data, Mapping):
        return {key: _strict(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_strict(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
