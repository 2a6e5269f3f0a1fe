"""Runs made by hand: a recording of a few losses and evaluations, and a trial that ended well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from thalweg.doctor.runs import Run, name_of
from thalweg.doctor.standing import Standing
from thalweg.interventions import Intervention
from thalweg.recorder import Recording
from thalweg.trials import Outcome, Trial

SITE = "train.py:30"


def recording(
    losses: Sequence[float], evaluations: Sequence[float] = (), kind: str = "accuracy"
) -> Recording:
    """Losses of one optimizer, and evaluations of which the last comes after the last step."""
    steps = [
        {"optimizer": 0, "step": i, "rate": 0.1, "loss": loss if math.isfinite(loss) else None}
        for i, loss in enumerate(losses)
    ]
    first = len(losses) - len(evaluations) + 1
    readings = [
        {
            "site": SITE,
            "kind": kind,
            "training": False,
            "step": first + i,
            "value": value,
            "count": 1,
        }
        for i, value in enumerate(one if math.isfinite(one) else None for one in evaluations)
    ]
    return Recording(steps, [], readings, {}, {})


def run(
    losses: Sequence[float],
    evaluations: Sequence[float] = (),
    changed: tuple[Intervention, ...] = (),
    seed: int = 0,
) -> Run:
    """A run that finished."""
    nowhere = Path("/nowhere")
    trial = Trial("made", nowhere / "train.py")
    outcome = Outcome(trial, nowhere, "finished", 0, "", 1.0, 1.0, nowhere, nowhere)
    return Run(name_of(changed), changed, seed, outcome, recording(losses, evaluations))


def stood(value: float | None, kind: str = "accuracy", loss: float = 1.0) -> Standing:
    """A standing; None is a value that was not finite."""
    return Standing(value, loss, kind)
