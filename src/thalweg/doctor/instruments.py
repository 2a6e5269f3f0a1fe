"""What stands around the script in a trial: the interventions, then the recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.interventions import from_data
from thalweg.obstacles.probes import PROBES
from thalweg.recorder import Recorder, Session
from thalweg.trials import end_trial

RECORD = "thalweg.doctor.instruments:record"


@contextmanager
def record(
    folder: Path, trial: dict[str, Any], interventions: Sequence[dict[str, Any]] = (),
    full: bool = False,
) -> Iterator[None]:  # fmt: skip
    """Record the script into ``folder`` under the interventions; end it at the trial's steps."""
    script = Path(trial["script"]).absolute()
    recorder = Recorder(
        folder, script.parent, PROBES if full else (), full, _limit(trial.get("max_steps"))
    )
    with Session([*(from_data(one) for one in interventions), recorder]):
        yield


def _limit(steps: int | None) -> Callable[[int], None]:
    def check(made: int) -> None:
        if steps is not None and made >= steps:
            end_trial("steps", f"{steps} steps were made")

    return check
