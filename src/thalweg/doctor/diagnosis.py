"""The main job: watch the script, suspect, try, verify, and say what was found.

    with nothing changed  ->  recording  ->  suspicions  ->  trials, one change each, same seed
    ->  the cause that removes the harm  ->  verified on several seeds  ->  findings

Nothing here touches PyTorch: the script runs in child processes, and what comes back is plain data.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from thalweg.doctor.ranking import Candidate, rank
from thalweg.doctor.runs import Bench, Run, name_of
from thalweg.doctor.standing import Measure, standing
from thalweg.doctor.verification import SEEDS, Verification
from thalweg.interventions import LearningRate
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.registry import OBSTACLES
from thalweg.obstacles.suspicion import Suspicion
from thalweg.trials import Runner

Verdict = Literal["healthy", "obstructed", "unknown"]

TIMES_PLAIN = 18.0  # a short script's diagnosis costs at most 20 plain runs; two are left for the rest
SHARE_OF_BASE = 0.2  # of the budget, for the first run of a long script
WORTH = 0.2  # what a suspicion must be worth after its trials to be verified at all
TRIES = 3  # remedies that may fail their verification before the doctor gives up


class ScriptFailed(Exception):
    """The script fails by itself; what it printed is kept."""

    def __init__(self, exit_code: int, stdout: str, stderr: str) -> None:
        super().__init__(f"the script fails by itself, with exit code {exit_code}")
        self.exit_code, self.stdout, self.stderr = exit_code, stdout, stderr


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
        doctor = Doctor(bench, path, tuple(arguments), tuple(only), budget, began)
        doctor.examine()
        return doctor.conclude()


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


class Doctor:
    """One diagnosis under way. Whatever interrupts it, ``conclude`` reports what is known."""

    def __init__(
        self, bench: Bench, script: Path, arguments: tuple[str, ...], only: tuple[str, ...],
        budget: float, began: float,
    ) -> None:  # fmt: skip
        self.bench, self.script, self.arguments, self.only = bench, script, arguments, only
        self.budget, self.began = budget, began
        self.base: Run | None = None
        self.measure: Measure = None
        self.candidates: list[Candidate] = []
        self.proved: list[tuple[Candidate, Verification]] = []
        self.failed: list[tuple[Candidate, Verification]] = []
        self.interrupted = False
        self.plain_seconds = 0.0

    def examine(self) -> None:
        """Everything that takes time; Ctrl-C ends it and keeps what is known."""
        try:
            self.watch()
            if self.seen is not None and self.bench.seconds_left > 0:
                self.decide()
        except KeyboardInterrupt:
            self.interrupted = True

    def watch(self) -> None:
        """Run the script as it is."""
        limit = max(20.0, SHARE_OF_BASE * self.budget)
        base = self.bench.base(min(limit, self.budget))
        if base.outcome.ended == "crashed":
            raise ScriptFailed(
                base.outcome.exit_code or 1,
                _text(base.outcome.stdout_path),
                _text(base.outcome.stderr_path) or base.outcome.reason + "\n",
            )
        self.base = base
        self.measure = base.recording.measure()
        self.plain_seconds = self.bench.runner.import_seconds + base.outcome.seconds
        short = TIMES_PLAIN * self.plain_seconds
        self.bench.deadline = self.began + min(self.budget, max(short, 20.0))
        self.bench.max_seconds = max(10.0, 3 * base.outcome.seconds)
        if base.outcome.ended == "seconds":
            made = max((row["step"] + 1 for row in base.recording.steps), default=1)
            self.bench.max_steps = min(made, self.bench.max_steps or made)
            self.measure = None  # the evaluation at the script's end was never reached

    @property
    def seen(self) -> Evidence | None:
        """The evidence of the first run; None if it never trained."""
        if self.base is None or not self.base.recording.steps:
            return None
        return Evidence(self.base.recording)

    def suspect(self) -> list[Suspicion]:
        """What the evidence raises, strongest first."""
        assert self.seen is not None  # noqa: S101  (narrowing; decide() is called with evidence)
        codes = self.only or tuple(OBSTACLES)
        found = [OBSTACLES[code].judge(self.seen) for code in codes]
        return sorted((one for one in found if one), key=lambda one: -one.strength)

    def decide(self) -> None:
        """Try what would prove each suspicion, rank, and verify."""
        assert self.base is not None and self.seen is not None  # noqa: S101
        suspicions = self.suspect()
        wanted = [(name_of(proof), tuple(proof), 0) for s in suspicions for proof in s.proofs]
        wanted += [(name_of((x,)), (x,), 0) for x in (LearningRate(0.1), LearningRate(10.0))]
        self.bench.make(self._affordable(wanted), "Changing one thing at a time")
        runs = {run.name: run for (_, seed), run in self.bench.runs.items() if seed == 0}
        self.candidates = rank(
            suspicions, self.base, runs, self.measure, self.seen.main, not self.seen.adversarial
        )
        for candidate in [one for one in self.candidates if one.worth >= WORTH][:TRIES]:
            checked = self.verify(candidate)
            if checked.held:
                self.proved.append((candidate, checked))
                break
            self.failed.append((candidate, checked))

    def _affordable(self, wanted: list[Any]) -> list[Any]:
        """As many trials as leave half of the time for verification, the strongest first."""
        assert self.base is not None  # noqa: S101
        once = max(0.3, self.base.outcome.seconds) / self.bench.runner.jobs
        count = int(max(4.0, 0.6 * self.bench.seconds_left / once))
        return list({one[0]: one for one in wanted}.values())[:count]

    def verify(self, candidate: Candidate) -> Verification:
        """The remedy and doing nothing, on the other seeds."""
        assert self.base is not None and candidate.run is not None  # noqa: S101
        changed = candidate.run.interventions
        others = SEEDS[1:]
        wanted: list[Any] = [("as it is", (), seed) for seed in others]
        wanted += [(candidate.run.name, changed, seed) for seed in others]
        made = self.bench.make(wanted, f"Verifying: {candidate.run.name}")
        main = Evidence(self.base.recording).main
        ends = [standing(run.recording, self.measure, main) for run in made]
        first = [standing(run.recording, self.measure, main) for run in (self.base, candidate.run)]
        half = len(others)
        return Verification(SEEDS, (first[0], *ends[:half]), (first[1], *ends[half:]))

    def conclude(self) -> Diagnosis:
        """The verdict and the report, from whatever is known."""
        verdict, reason = self._verdict()
        return Diagnosis(verdict, reason, report(self, verdict, reason))

    def _verdict(self) -> tuple[Verdict, str]:
        if self.proved:
            return "obstructed", self.proved[0][0].suspicion.summary
        if self.interrupted:
            return "unknown", "The diagnosis was interrupted before anything was proved."
        seen = self.seen
        if seen is None:
            return "unknown", "The script made no update of any parameter that could be seen."
        if not math.isfinite(seen.final_loss):
            return "unknown", "The loss stops being finite, and no change that was tried prevents it."
        if not seen.adversarial and seen.final_loss > 0.9 * seen.initial_loss > 0:
            return "unknown", "The loss hardly falls, and no change that was tried makes it fall."
        return "healthy", "Nothing that was tried makes this script train materially better."


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def report(doctor: Doctor, verdict: Verdict, reason: str) -> dict[str, Any]:
    """The whole report as plain data, schema 1."""
    from thalweg.doctor.findings import findings, ruled_out  # noqa: PLC0415 - they read a Doctor

    base = doctor.base
    main = doctor.seen.main if doctor.seen else 0
    steps = max((row["step"] + 1 for row in base.recording.steps), default=0) if base else 0
    return {
        "schema": 1,
        "thalweg": version("thalweg"),
        "script": {
            "path": str(doctor.script),
            "arguments": list(doctor.arguments),
            "steps": steps,
            "seconds": base.outcome.seconds if base else 0.0,
            "finished": bool(base and base.outcome.ended == "finished"),
        },
        "verdict": verdict,
        "reason": reason,
        "findings": findings(doctor),
        "ruled_out": ruled_out(doctor),
        "trials": [
            run.as_data(doctor.measure, None, main) for run in doctor.bench.runs.values()
        ],
        "baseline": base.as_data(doctor.measure, None, main) if base else None,
        "budget": {
            "seconds": time.monotonic() - doctor.began,
            "limit": doctor.budget,
            "plain_seconds": doctor.plain_seconds,
            "trials": doctor.bench.planned,
            "interrupted": doctor.interrupted,
        },
        "environment": {
            "python": platform.python_version(),
            "torch": version("torch"),
            "platform": platform.platform(),
            "device": base.recording.summary.get("device", "cpu") if base else "cpu",
        },
    }
