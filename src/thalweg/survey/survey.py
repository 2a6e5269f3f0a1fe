"""Run a script, unedited, and ask for the curvature at chosen steps.

    found = survey("train.py", at=(0, 100, 500))
    found.data["steps"][0]["sharpness"]

The script runs once, in a process of its own that cannot write over its files, and is ended after
the last step that was asked for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg import __version__
from thalweg.recorder import Recording
from thalweg.survey.instruments import OBSERVE
from thalweg.survey.wording import unreached
from thalweg.trials import Outcome, Runner
from thalweg.trials import Progress as TrialProgress
from thalweg.trials.advice import advice

VERSION = 1
DEFAULT_AT = (0, 100, 500)
DEFAULT_PRODUCTS = 400
DEFAULT_BUDGET = 300.0
FEWEST_PRODUCTS = 20
SHARE_OF_BUDGET = 0.5  # for the answers; the script itself takes the rest


class ScriptFailed(Exception):
    """The script fails before any of the asked steps; what it printed is kept."""

    def __init__(self, exit_code: int, stdout: str, stderr: str, hint: str = "") -> None:
        says = f"the script fails by itself, with exit code {exit_code}"
        super().__init__(f"{says}: {hint}" if hint else says)
        self.exit_code, self.stdout, self.stderr, self.hint = exit_code, stdout, stderr, hint


@dataclass(frozen=True)
class Progress:
    """How far a survey is: asked steps done, asked steps in all, and what is going on."""

    done: int
    total: int
    says: str


@dataclass
class Survey:
    """What was found.

    Attributes:
        data: everything as plain data (schema 1 of kind "curvature" or "pruning").
    """

    data: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked was answered."""
        answers = [*self.data.get("steps", ()), *self.data.get("points", ())]
        return not self.data.get("missing") and all("failed" not in one for one in answers)

    def as_data(self) -> dict[str, Any]:
        """The survey as plain data."""
        return self.data


def survey(
    script: str | Path,
    arguments: Sequence[str] = (),
    *,
    at: Sequence[int] = DEFAULT_AT,
    products: int = DEFAULT_PRODUCTS,
    seed: int | None = None,
    budget: float = DEFAULT_BUDGET,
    progress: Callable[[Progress], None] | None = None,
) -> Survey:
    """The curvature of a script's loss at chosen steps.

    Args:
        script: A Python file that trains with PyTorch. It is run as it is, in a child process; what
            it writes goes to a scratch folder.
        arguments: Its command line.
        at: Numbers of the updates before which to look, from 0.
        products: Hessian products at each step, at the most; each costs about two gradients. The
            density of more than 160 parameters takes 400.
        seed: Take the seed-th other random stream instead of the script's own; also of the random
            vectors.
        budget: Seconds after which the script is stopped; what was found by then is kept.
        progress: Called as it goes on.

    Raises:
        ScriptFailed: If the script fails by itself before the first asked step.
        ValueError: For arguments out of their domain, or a script that does not exist.
    """
    path, asked = Path(script), tuple(sorted(set(at)))
    check(path, asked, products, seed, budget)
    began = time.monotonic()
    observe = {
        "make": OBSERVE,
        "at": list(asked),
        "products": products,
        "seed": seed or 0,
        "seconds": SHARE_OF_BUDGET * budget / len(asked),
    }
    with Runner(path, arguments, jobs=1) as runner:
        trial = runner.trial(
            "as it is", instruments=(observe,), seed_shift=seed or 0, max_seconds=budget
        )
        hear = watching(runner, len(asked), progress) if progress else None
        (outcome,) = runner.run([trial], hear, began + budget)
        recording = Recording.read(outcome.folder)
        if outcome.ended == "crashed" and not recording.samples:
            raise failure(outcome)
        data = report(path, arguments, asked, outcome, recording)
    cost = {"seconds": time.monotonic() - began, "limit": budget, "products": products}
    return Survey(data | {"budget": cost})


def watching(
    runner: Runner, total: int, progress: Callable[[Progress], None]
) -> Callable[[TrialProgress], None]:
    """Tell how many of the asked steps have been answered so far."""

    def tell(_: TrialProgress) -> None:
        found = [file.read_bytes().count(b"\n") for file in runner.folder.glob("*/samples.jsonl")]
        progress(Progress(min(total, sum(found)), total, "Asking at the steps"))

    return tell


def failure(outcome: Outcome) -> ScriptFailed:
    """The error for a script that fails, with what it printed."""
    out, err = (
        path.read_text(errors="replace") if path.exists() else ""
        for path in (outcome.stdout_path, outcome.stderr_path)
    )
    return ScriptFailed(outcome.exit_code or 1, out, err, advice(outcome))


def report(
    script: Path,
    arguments: Sequence[str],
    asked: Sequence[int],
    outcome: Outcome,
    recording: Recording,
) -> dict[str, Any]:
    """The survey as plain data, but for what it cost."""
    made = max((row["step"] + 1 for row in recording.steps), default=0)
    seen = {row["step"] for row in recording.samples}
    return {
        "kind": "curvature",
        "schema": VERSION,
        "thalweg": __version__,
        "script": {
            "path": str(script),
            "arguments": list(arguments),
            "steps": made,
            "seconds": outcome.seconds,
            "ended": outcome.ended,
            "reason": outcome.reason,
        },
        "device": recording.summary.get("device", "cpu"),
        "at": list(asked),
        "steps": [step_data(row, recording) for row in recording.samples],
        "missing": [
            {"step": step, "why": unreached(step, made, outcome.ended, outcome.reason)}
            for step in asked
            if step not in seen
        ],
    }


def step_data(row: dict[str, Any], recording: Recording) -> dict[str, Any]:
    """One step: who made it, and what was found, or why nothing was."""
    found = row.get("probes", {}).get("curvature")
    if found is None:
        found = {"failed": f"the step cannot be replayed: {row['flaw'] or 'for an unknown reason'}"}
    return {"step": row["step"], "optimizer": optimizer_of(row["optimizer"], recording), **found}


def optimizer_of(index: int, recording: Recording) -> dict[str, Any]:
    """An optimizer by its place among the script's own."""
    known = recording.summary.get("optimizers", [])
    return {
        "index": index,
        "kind": known[index]["kind"] if index < len(known) else None,
        "count": len(known),
    }


def check(path: Path, at: Sequence[int], products: int, seed: int | None, budget: float) -> None:
    """Raise ValueError for arguments out of their domain."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; give the training script to survey")
    if not at or any(isinstance(step, bool) or int(step) != step or step < 0 for step in at):
        raise ValueError(f"at={tuple(at)}: give numbers of steps, from 0")
    if products < FEWEST_PRODUCTS:
        raise ValueError(f"products={products}: give at least {FEWEST_PRODUCTS}")
    if seed is not None and seed < 0:
        raise ValueError(f"seed={seed}: give 0 or more")
    if not (budget > 0 and math.isfinite(budget)):
        raise ValueError(f"budget={budget}: give a positive number of seconds")
