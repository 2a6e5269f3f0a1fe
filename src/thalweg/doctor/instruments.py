"""What stands around the script in a trial: the interventions, then the recorder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.doctor.stopping import Ceiling, overrun
from thalweg.interventions import from_data
from thalweg.interventions.set_aside import SetAside
from thalweg.obstacles.probes import PROBES
from thalweg.recorder import Listener, Recorder, Session
from thalweg.recorder.sample_count import SampleCount
from thalweg.trials import end_trial

RECORD = "thalweg.doctor.instruments:record"


@contextmanager
def record(
    folder: Path, trial: dict[str, Any], interventions: Sequence[dict[str, Any]] = (),
    full: bool = False, ceilings: Sequence[Ceiling] = (), set_aside: float = 0.0,
) -> Iterator[None]:  # fmt: skip
    """Record the script into ``folder`` under the interventions, a share of its samples set aside.

    It ends at the trial's steps, or where its loss breaks a ceiling (:mod:`.stopping`).
    """
    script = Path(trial["script"]).absolute()
    broken = overrun([(int(step), float(loss)) for step, loss in ceilings])

    def check(made: int) -> None:
        if trial.get("max_steps") is not None and made >= trial["max_steps"]:
            end_trial("steps", f"{trial['max_steps']} steps were made")
        if ceilings and broken(made, recorder.last_loss):
            end_trial("steps", f"after {made} steps it was plainly worse than the script as it is")

    recorder = Recorder(folder, script.parent, PROBES if full else (), full, check)
    changes: list[Listener] = [from_data(one) for one in interventions]
    if set_aside:
        changes.insert(0, SetAside(folder, set_aside))
    elif full:
        changes.append(SampleCount(folder))
    with Session([*changes, recorder]):
        yield
