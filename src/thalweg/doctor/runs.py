"""Runs of the script under interventions: asked for by description, made once, read back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg.doctor.instruments import RECORD
from thalweg.doctor.neighbours import disturbed
from thalweg.doctor.standing import Measure, standing
from thalweg.doctor.stopping import Ceiling
from thalweg.interventions import Intervention
from thalweg.recorder import Recording
from thalweg.recorder.curve import loss_curve, measure_curve
from thalweg.trials import Outcome, Runner, Trial
from thalweg.trials import Progress as TrialProgress


@dataclass
class Run:
    """One run: what was changed, how it ended, what was seen."""

    name: str
    interventions: tuple[Intervention, ...]
    seed: int
    outcome: Outcome
    recording: Recording

    def as_data(self, measure: Measure, share: float | None, optimizer: int) -> dict[str, Any]:
        """The run as a report carries it."""
        found = standing(self.recording, measure, optimizer)
        return {
            "name": self.name,
            "interventions": [one.as_data() for one in self.interventions],
            "seed": self.seed,
            "ended": self.outcome.ended,
            "reason": self.outcome.reason,
            "seconds": self.outcome.seconds,
            "steps": max((row["step"] + 1 for row in self.recording.steps), default=0),
            "loss": loss_curve(self.recording.losses(optimizer)),
            "measure": measure_curve(self.recording, measure),
            "score": found.value,
            "gain": None if share is None or not math.isfinite(share) else share,
        }


@dataclass(frozen=True)
class Wanted:
    """A run to be made.

    Attributes:
        interventions: What it changes.
        seed: The number of its random stream.
        why: What it is made for, in a few words.
    """

    interventions: tuple[Intervention, ...] = ()
    seed: int = 0
    why: str = ""

    @property
    def name(self) -> str:
        """What it changes, in words."""
        return name_of(self.interventions)


@dataclass
class Bench:
    """Where runs are made: never the same one twice, never past the deadline.

    Attributes:
        max_steps: Every run ends there at the latest (None: the script's own end).
        max_seconds: A single run's limit.
        deadline: A value of ``time.monotonic()``.
        ceilings: What ends a changed run early (:mod:`.stopping`).
        set_aside: Which share of the samples is kept out of training.
        seeds_of: The folder of the run whose seeds every other one states.
        says: Hears what is going on: a sentence, the runs done and the runs planned.
    """

    runner: Runner
    seed: int
    deadline: float
    says: Callable[[str, int, int], None]
    max_steps: int | None = None
    max_seconds: float = 60.0
    ceilings: Sequence[Ceiling] = ()
    set_aside: float = 0.0
    seeds_of: Path | None = None
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)
    planned: int = 0

    def watch(self, changed: tuple[Intervention, ...], max_seconds: float) -> Run:
        """The script under these changes, recorded in full."""
        wanted = Wanted(changed)
        trial = self._trial(wanted, max_seconds, full=True)
        run = self._run([trial], [wanted], "Watching the script")[0]
        self.seeds_of = self.seeds_of or run.outcome.folder
        return run

    def make(self, wanted: Sequence[Wanted], why: str) -> list[Run]:
        """These runs, in order; those that have not been made before are made together."""
        new = [one for one in wanted if (one.name, one.seed) not in self.runs]
        new = list({(one.name, one.seed): one for one in new}.values())
        if new:
            trials = [self._trial(one, self.max_seconds) for one in new]
            for run in self._run(trials, new, why):
                self.runs[run.name, run.seed] = run
        return [self.runs[one.name, one.seed] for one in wanted]

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.deadline - time.monotonic()

    def _trial(self, wanted: Wanted, max_seconds: float, full: bool = False) -> Trial:
        what = [one.as_data() for one in wanted.interventions]
        same_loss = what and not any(one.changes_loss for one in wanted.interventions)
        limits = [list(one) for one in self.ceilings] if same_loss and not full else []
        options: dict[str, Any] = {"interventions": what, "full": full, "ceilings": limits}
        options["set_aside"] = self.set_aside
        return self.runner.trial(
            wanted.name,
            instruments=({"make": RECORD, **options},),
            seed_shift=self.seed + wanted.seed,
            seeds_of=self.seeds_of,
            max_steps=self.max_steps,
            max_seconds=max_seconds,
        )

    def _run(self, trials: Sequence[Trial], wanted: Sequence[Wanted], why: str) -> list[Run]:
        done = self.planned
        self.planned += len(trials)
        reasons = {one.name: one.why for one in wanted}

        def tell(progress: TrialProgress) -> None:
            now = [f"{one} ({reasons[one]})" if reasons[one] else one for one in progress.running]
            says = f"{why}: {', '.join(dict.fromkeys(now))}" if now else why
            self.says(says, done + progress.done, self.planned)

        outcomes = self.runner.run(trials, tell, self.deadline)
        if len(trials) > 1 and self.runner.jobs > 1:
            outcomes = [self._undisturbed(*pair) for pair in zip(trials, outcomes, strict=True)]
        return [
            Run(one.name, one.interventions, one.seed, outcome, Recording.read(outcome.folder))
            for one, outcome in zip(wanted, outcomes, strict=True)
        ]

    def _undisturbed(self, trial: Trial, outcome: Outcome) -> Outcome:
        """The outcome; of a trial that another one may have disturbed, that of one made alone.

        Where being alone helps, all further trials are made one at a time.
        """
        if not disturbed(outcome):
            return outcome
        alone = self.runner.run([trial], deadline=self.deadline)[0]
        if alone.ended == "crashed":
            return outcome
        self.runner.jobs = 1
        return alone


def name_of(interventions: tuple[Intervention, ...]) -> str:
    """What a run changes, in a few words."""
    return " and ".join(one.name() for one in interventions) or "as it is"
