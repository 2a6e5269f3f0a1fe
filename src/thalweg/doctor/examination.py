"""One examination of a script: watch it, suspect, try one change at a time, verify.

    with nothing changed  ->  recording  ->  suspicions  ->  trials, one change each, same seed
    ->  the cause that removes the harm  ->  verified on several seeds

Nothing here touches PyTorch: the script runs in child processes, and what comes back is plain data.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from thalweg.doctor.ranking import Candidate, rank
from thalweg.doctor.runs import Bench, Run, Wanted, name_of
from thalweg.doctor.standing import Measure, standing
from thalweg.doctor.verification import SEEDS, Verification
from thalweg.interventions import LearningRate
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.registry import OBSTACLES
from thalweg.obstacles.suspicion import Suspicion

Verdict = Literal["healthy", "obstructed", "unknown"]

# A short script's diagnosis costs at most 20 plain runs; two are left for what is not a run.
TIMES_PLAIN = 18.0
SHARE_OF_BASE = 0.1  # of the budget, for the first run of a long script
SHORT = 20.0  # seconds that a script may take in any case, but never more than half of the budget
WORTH = 0.2  # what a suspicion must be worth after its trials to be verified at all
TRIES = 3  # remedies that may fail their verification before the doctor gives up


class ScriptFailed(Exception):
    """The script fails by itself; what it printed is kept."""

    def __init__(self, exit_code: int, stdout: str, stderr: str) -> None:
        super().__init__(f"the script fails by itself, with exit code {exit_code}")
        self.exit_code, self.stdout, self.stderr = exit_code, stdout, stderr


class Examination:
    """One diagnosis under way. Whatever interrupts it, what is known so far stays readable."""

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
        self.trouble: list[str] = []
        self.interrupted = False
        self.plain_seconds = 0.0

    def examine(self) -> None:
        """Everything that takes time; Ctrl-C ends it and keeps what is known."""
        try:
            self.watch()
            if self.seen is not None and self.bench.seconds_left > 0 and not self._incomparable:
                self.decide()
        except KeyboardInterrupt:
            self.interrupted = True

    def watch(self) -> None:
        """Run the script as it is."""
        limit = max(min(SHORT, self.budget / 2), SHARE_OF_BASE * self.budget)
        base = self.bench.base(limit)
        if base.outcome.ended == "crashed":
            raise ScriptFailed(
                base.outcome.exit_code or 1,
                _text(base.outcome.stdout_path),
                _text(base.outcome.stderr_path),
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
        _, seen = self._known()
        codes = self.only or tuple(OBSTACLES)
        found = [self._judge(code, seen) for code in codes]
        return sorted((one for one in found if one), key=lambda one: -one.strength)

    def _judge(self, code: str, seen: Evidence) -> Suspicion | None:
        """One obstacle's judgement; one that fails is noted, and the others go on."""
        try:
            return OBSTACLES[code].judge(seen)
        except Exception as error:
            self.trouble.append(f"{code}: {type(error).__name__}: {error}")
            return None

    def decide(self) -> None:
        """Try what would prove each suspicion, rank, and verify."""
        base, seen = self._known()
        suspicions = self.suspect()
        proofs = [proof for suspicion in suspicions for proof in suspicion.proofs]
        proofs += [(LearningRate(0.1),), (LearningRate(10.0),)]
        wanted = [Wanted(name_of(proof), proof) for proof in proofs]
        self.bench.make(self._affordable(wanted), "Changing one thing at a time")
        runs = {run.name: run for (_, seed), run in self.bench.runs.items() if seed == 0}
        self.candidates = rank(
            suspicions, base, runs, self.measure, seen.main, not seen.adversarial
        )
        for candidate in [one for one in self.candidates if one.worth >= WORTH][:TRIES]:
            checked = self.verify(candidate)
            if checked.held:
                self.proved.append((candidate, checked))
                break
            self.failed.append((candidate, checked))

    @property
    def _incomparable(self) -> bool:
        """Whether there is nothing to compare runs by: a critic that wins has a lower loss too."""
        seen = self.seen
        if seen is None or self.measure is not None:
            return False
        return seen.adversarial and math.isfinite(seen.final_loss)

    @property
    def _tried(self) -> bool:
        """Whether at least one changed run was not cut off."""
        changed = [run for run in self.bench.runs.values() if run.interventions]
        return any(run.outcome.ended != "interrupted" for run in changed)

    def _known(self) -> tuple[Run, Evidence]:
        """The first run and its evidence, once there are."""
        seen = self.seen
        if self.base is None or seen is None:
            raise RuntimeError("the script has to be watched before anything is decided")
        return self.base, seen

    def _affordable(self, wanted: list[Wanted]) -> list[Wanted]:
        """As many trials as leave two fifths of the time for verification, the strongest first."""
        base, _ = self._known()
        once = max(0.3, base.outcome.seconds) / self.bench.runner.jobs
        count = int(max(4.0, 0.6 * self.bench.seconds_left / once))
        return list({one.name: one for one in wanted}.values())[:count]

    def verify(self, candidate: Candidate) -> Verification:
        """The remedy and doing nothing, on the other seeds."""
        base, seen = self._known()
        if candidate.run is None:
            raise RuntimeError(f"{candidate.suspicion.cause}: there is no trial to verify")
        others = SEEDS[1:]
        name, changed = candidate.run.name, candidate.run.interventions
        wanted = [Wanted("as it is", (), seed) for seed in others]
        wanted += [Wanted(name, changed, seed) for seed in others]
        made = self.bench.make(wanted, f"Verifying: {name}")
        ends = [standing(run.recording, self.measure, seen.main) for run in made]
        first = [standing(run.recording, self.measure, seen.main) for run in (base, candidate.run)]
        half = len(others)
        return Verification(SEEDS, (first[0], *ends[:half]), (first[1], *ends[half:]))

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict and one sentence why, from whatever is known."""
        if self.proved:
            return "obstructed", self.proved[0][0].suspicion.summary
        if self.interrupted:
            return "unknown", "The diagnosis was interrupted before anything was proved."
        seen = self.seen
        if seen is None:
            return "unknown", "The script made no update of any parameter that could be seen."
        if self._incomparable:
            return (
                "unknown",
                "Several optimizers follow losses of their own and the script evaluates nothing: "
                "a lower loss of one of them would prove nothing.",
            )
        if not self._tried:
            return "unknown", "The budget was over before anything could be tried; give more."
        if not math.isfinite(seen.final_loss):
            return (
                "unknown",
                "The loss stops being finite, and no change that was tried prevents it.",
            )
        if not seen.adversarial and seen.final_loss > 0.9 * seen.initial_loss > 0:
            return "unknown", "The loss hardly falls, and no change that was tried makes it fall."
        return "healthy", "Nothing that was tried makes this script train materially better."


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
