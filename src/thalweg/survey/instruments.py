"""What stands around the script in a survey's trial: a recorder that asks at the wanted steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.recorder import Recorder, Session
from thalweg.survey.asking import Asking
from thalweg.trials import end_trial

OBSERVE = "thalweg.survey.instruments:observe"


@contextmanager
def observe(
    folder: Path,
    trial: dict[str, Any],
    at: Sequence[int],
    products: int,
    seed: int,
    seconds: float,
) -> Iterator[None]:
    """Record the script into ``folder``, ask at the steps ``at``, and end it after the last."""
    script = Path(trial["script"]).absolute()
    asked, last = frozenset(at), max(at)
    probes = (Asking(products, seed, seconds),)

    def limit(made: int) -> None:
        # several optimizers take turns: the last step is over when the next one has begun
        if made > last + (len(session.optimizers) > 1):
            end_trial("steps", f"step {last} was the last that was asked for")

    recorder = Recorder(folder, script.parent, probes, True, limit, asked.__contains__)
    session = Session([recorder])
    with session:
        yield
