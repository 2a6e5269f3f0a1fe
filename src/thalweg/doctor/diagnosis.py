"""The main job: ``diagnose`` a training script."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg.doctor.examination import Examination, Verdict
from thalweg.doctor.findings import report
from thalweg.doctor.runs import Bench
from thalweg.obstacles.registry import OBSTACLES
from thalweg.trials import Runner


@dataclass(frozen=True)
class Progress:
    """How far a diagnosis is: runs done, runs planned so far, and what is going on."""

    done: int
    total: int
    says: str


@dataclass
class Diagnosis:
    """What was found.

    Attributes:
        verdict: ``healthy``, ``obstructed`` (with a proved and verified finding) or ``unknown``.
        reason: One sentence why.
        data: The whole report as plain data (schema 1).
    """

    verdict: Verdict
    reason: str
    data: dict[str, Any] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """The report as plain data."""
        return self.data


def diagnose(
    script: str | Path,
    arguments: Sequence[str] = (),
    *,
    budget: float = 300.0,
    steps: int | None = None,
    seed: int | None = None,
    only: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
    jobs: int | None = None,
    control: bool = True,
) -> Diagnosis:
    """Find what holds a training script back.

    Args:
        script: A Python file that trains with PyTorch. It is run as it is, in child processes; what
            it writes goes to a scratch folder.
        arguments: Its command line.
        budget: Seconds for the whole diagnosis. A short script takes less: at most about 20 times
            one run of it.
        steps: Look at no more than this many updates of each run.
        seed: Take the seed-th other random stream instead of the script's own.
        only: Codes of the causes to look for; empty for all.
        progress: Called as it goes on.
        jobs: Runs at a time; as many as there are cores by default (at most 4).
        control: Beside a remedy, try as many random changes as the search for it took.

    Returns:
        The diagnosis. After Ctrl-C: what was known by then.

    Raises:
        ScriptFailed: If the script fails by itself.
        ValueError: For arguments out of their domain, or a script that does not exist.
    """
    path = Path(script)
    check(path, budget, steps, seed, only)
    hear = progress or (lambda _: None)
    began = time.monotonic()
    with Runner(path, arguments, jobs=jobs) as runner:
        bench = Bench(
            runner, seed or 0, began + budget, lambda s, d, t: hear(Progress(d, t, s)), steps
        )
        examination = Examination(
            bench, path, tuple(arguments), tuple(only), budget, began, control
        )
        examination.examine()
        verdict, reason = examination.verdict()
        return Diagnosis(verdict, reason, report(examination))


def check(
    path: Path, budget: float, steps: int | None, seed: int | None, only: Sequence[str]
) -> None:
    """Raise ValueError for arguments out of their domain."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; give the training script to diagnose")
    if not (budget > 0 and math.isfinite(budget)):
        raise ValueError(f"budget={budget}: give a positive number of seconds")
    if steps is not None and steps < 1:
        raise ValueError(f"steps={steps}: give at least 1")
    if seed is not None and seed < 0:
        raise ValueError(f"seed={seed}: give 0 or more")
    unknown = [code for code in only if code not in OBSTACLES]
    if unknown:
        raise ValueError(
            f"only={unknown[0]!r}: there is no such cause; known are {', '.join(OBSTACLES)}"
        )
