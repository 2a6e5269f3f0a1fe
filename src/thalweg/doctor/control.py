"""The control of a remedy: random changes, as many runs of them as the search for a cause took.

A repair that a blind draw matches proves little (Kim et al., ICST 2023: random search is comparable
to the published repair tools). So the doctor spends on random changes what it spent on reasoned
ones, verifies the best of them on the same seeds, and reports both.

A draw changes the learning rate by a factor that is log-uniform from 1/100 to 100, and with even
chances the optimizer (to SGD with momentum or Adam at its usual rate), the scale of the inputs, the
clipping of gradients and the initialization.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.doctor.runs import Bench, Run, Wanted
from thalweg.doctor.standing import Measure, Standing, better, improvement, preference, standing
from thalweg.interventions import (
    Clipping,
    Initialization,
    InputStandardization,
    Intervention,
    LearningRate,
    OptimizerSwap,
)
from thalweg.interventions.input_standardization import of_moments
from thalweg.obstacles.evidence import Evidence

MOST = 24  # random runs; no search for a cause takes many more


def draws(count: int, seen: Evidence, seed: int = 0) -> list[tuple[Intervention, ...]]:
    """So many random changes of this script, the same for the same seed."""
    chance = random.Random(seed)
    return [_draw(chance, seen) for _ in range(count)]


def _draw(chance: random.Random, seen: Evidence) -> tuple[Intervention, ...]:
    factor = 10 ** chance.uniform(-2, 2)
    changed: list[Intervention] = []
    optimizer = chance.choice(["own", "momentum", "adam"]) if seen.optimizer else "own"
    if optimizer == "momentum":
        changed.append(OptimizerSwap("sgd", 1e-2 * factor, {"momentum": 0.9}))
    elif optimizer == "adam":
        changed.append(OptimizerSwap("adam", 1e-3 * factor))
    else:
        changed.append(LearningRate(float(f"{factor:.3g}")))
    if chance.random() < 0.5:
        changed += standardized(seen)
    if chance.random() < 0.5:
        changed.append(Clipping(1.0))
    if chance.random() < 0.5:
        changed.append(Initialization(seen.scheme))
    return tuple(changed)


def standardized(seen: Evidence) -> list[Intervention]:
    """The inputs standardized; nothing where none was seen, or not all of them are finite."""
    moments = seen.recording.moments
    if not moments or not all(np.isfinite(one).all() for one in moments.values()):
        return []
    return [InputStandardization(of_moments(moments))]


@dataclass(frozen=True)
class Control:
    """The best of the random changes, beside the remedy.

    Attributes:
        runs: How many random changes were tried.
        best: The best of them on the first seed; None if none was better than no change.
        random: Its standings on the seeds.
        remedied: Those of the remedy.
    """

    runs: int
    best: tuple[Intervention, ...] | None
    random: tuple[Standing, ...]
    remedied: tuple[Standing, ...]

    @property
    def margins(self) -> float:
        """By how many margins worth having the remedy beats it in the mean; infinite over none."""
        if self.best is None:
            return float("inf")
        pairs = list(zip(self.random, self.remedied, strict=True))
        steps = [improvement(one, other) for one, other in pairs]
        return sum(steps) / len(steps)

    def says(self) -> str:
        """One sentence."""
        of = f"the best of {self.runs} random changes"
        if self.best is None:
            return f"None of {self.runs} random changes was better than none at all."
        if self.margins >= 1:
            return f"The remedy is better than {of}."
        if self.margins > -1:
            return f"The remedy is as good as {of}."
        return f"Not as good as {of}: there is more to be had than this remedy."

    def as_data(self) -> dict[str, Any]:
        """Plain data, as a report carries it."""
        return {
            "runs": self.runs,
            "interventions": [one.as_data() for one in self.best or ()],
            "random": [one.value for one in self.random],
            "remedied": [one.value for one in self.remedied],
            "says": self.says(),
        }


def controlled(
    bench: Bench,
    base: Run,
    count: int,
    measure: Measure,
    remedied: Sequence[Standing],
    seeds: Sequence[int] = (0,),
) -> Control | None:
    """As many random changes of the script, the best of them on all seeds; None without time.

    Args:
        bench, base, count, measure: Where, against what, how many, compared by what.
        remedied: How the remedies stand on ``seeds``, of which the first is the script's own.
        seeds: The numbers of the streams.
    """
    seen = Evidence(base.recording)
    once = max(0.3, base.outcome.seconds) / bench.runner.jobs
    count = min(count, MOST, int(0.6 * bench.seconds_left / once))
    if count < 1:
        return None
    wanted = [Wanted(one, 0) for one in draws(count, seen)]
    made = bench.make(wanted, "Random changes, for comparison")
    start = standing(base.recording, measure, seen.main)
    ends = [standing(run.recording, measure, seen.main) for run in made]
    helped = [at for at, end in enumerate(ends) if better(start, end)]
    if not helped:
        return Control(count, None, (), tuple(remedied))
    at = max(helped, key=lambda at: preference(start, ends[at]))
    best = wanted[at].interventions
    rest = bench.make([Wanted(best, seed) for seed in seeds[1:]], "Random changes, for comparison")
    others = [standing(run.recording, measure, seen.main) for run in rest]
    return Control(count, best, (ends[at], *others), tuple(remedied))
