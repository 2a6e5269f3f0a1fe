"""``watch``: a context manager around a training run of this process."""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from thalweg.recorder import Recording, Session
from thalweg.report import framed
from thalweg.watching.data import NAMELESS, NOTEBOOK, Watched
from thalweg.watching.lookout import Lookout
from thalweg.watching.roots import living_optimizers
from thalweg.watching.suspicions import suspicions
from thalweg.watching.trouble import TrainingBroke, Trouble
from thalweg.watching.writing import Writer, Writing

BUDGET = 0.05
FOLDER = "thalweg-watch"


class Watching:
    """A run that is being watched, and after its end what was seen of it.

    Args:
        budget: Share of the run's time that watching may take; the pace of looking follows it.
        stop: Whether to raise `TrainingBroke` as soon as something breaks; else that is noted, and
            the run goes on.
        folder: Where to keep the recording and the last good state. By default the recording is
            thrown away, and a state that is needed is kept in a new folder of ``thalweg-watch``.
        script: What to call the run: its script and arguments; this process's own by default.
        hear: Called with the `Trouble` when something breaks; by default it is told on standard
            error.
        writers: Who keeps what is seen: each step in full, what breaks as it breaks, and at the
            end what is suspected (`thalweg.integrations` has some). They are closed at the end.

    Attributes:
        data: The report as plain data (schema 1), once the run has ended.

    Raises:
        ValueError: The budget is no share.
    """

    def __init__(
        self,
        *,
        budget: float = BUDGET,
        stop: bool = False,
        folder: str | Path | None = None,
        script: tuple[str, Sequence[str]] | None = None,
        hear: Callable[[Trouble], None] | None = None,
        writers: Sequence[Writer] = (),
    ) -> None:
        if not 0 < budget < math.inf:
            raise ValueError(f"watch(budget={budget}): give a share of the run's time, as in 0.05")
        self.data: dict[str, Any] = {}
        self._budget, self._stop = budget, stop
        self._wanted = None if folder is None else Path(folder)
        self._script = script or this_process()
        self._hear = hear or told
        self._writing = Writing(writers)
        self._ended = ("finished", "")

    def __enter__(self) -> Watching:
        self._began = time.perf_counter()
        self._folder = self._wanted or Path(tempfile.mkdtemp(prefix="thalweg-watch-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        home = Path(self._script[0]).absolute().parent
        self._lookout = Lookout(
            self._folder, home, self._budget, self._stop, self._broke, self._writing.looked
        )
        self._session = Session([self._lookout], candidates=living_optimizers())
        self._session.__enter__()
        self._lookout.measure_showing()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if error is not None:
            self.failed(error)
        self._session.__exit__(kind, error, at)
        self.data = self._watched().as_data()
        self._writing.ended(self.data)
        self.data["budget"]["trouble"] += self._writing.failed
        if self._wanted is None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def failed(self, error: BaseException) -> None:
        """The run ends with this exception; for those who run it and catch what it raises."""
        if isinstance(error, KeyboardInterrupt):
            self._ended = ("interrupted", "stopped by Ctrl-C")
        elif not isinstance(error, SystemExit) or error.code not in (0, None):
            first = (str(error).splitlines() or [""])[0]
            self._ended = ("crashed", f"{type(error).__name__}: {first}")
            if isinstance(error, Exception):
                self._lookout.alarm.raised(error)

    @property
    def trouble(self) -> Trouble | None:
        """The first thing that broke, if anything did."""
        return self._lookout.alarm.trouble

    @property
    def overhead(self) -> float:
        """What watching has taken over what the run took without it."""
        return self._lookout.pace.overhead

    def _broke(self, trouble: Trouble) -> None:
        """Move the state to where it lasts, and tell."""
        if trouble.state and self._wanted is None:
            kept = Path(FOLDER) / time.strftime(f"%Y%m%d-%H%M%S-{id(self) % 9973}")
            kept.mkdir(parents=True, exist_ok=True)
            moved = shutil.move(trouble.state, kept / Path(trouble.state).name)
            trouble.load = trouble.load.replace(trouble.state, str(moved))
            trouble.state = str(moved)
        self._writing.broke(trouble)
        self._hear(trouble)

    def _watched(self) -> Watched:
        recording = Recording.read(self._folder)
        found, failed = suspicions(recording)
        seconds = time.perf_counter() - self._began
        look = self._lookout
        return Watched(
            self._script, recording, found, look.alarm.trouble, self._ended, look.pace, seconds,
            look.sampled, [*recording.summary.get("trouble", []), *failed],
        )  # fmt: skip

    def as_data(self) -> dict[str, Any]:
        """The report as plain data, once the run has ended."""
        return self.data

    def _repr_html_(self) -> str:
        """The report for a notebook, in a frame of its own."""
        if not self.data:
            return "<p>The run is still being watched.</p>"

        return framed(self.data)


def this_process() -> tuple[str, Sequence[str]]:
    """What to call the program of this process: its script and arguments, where it has one."""
    path, arguments = sys.argv[0], sys.argv[1:]
    if Path(path).name == "ipykernel_launcher.py":
        return NOTEBOOK, []
    return (NAMELESS, []) if path in ("", "-", "-c") else (path, arguments)


def told(trouble: Trouble) -> None:
    """Say on standard error what broke."""
    print(f"thalweg watch: step {trouble.step}: {trouble.says}", file=sys.stderr)
    if trouble.load:
        lines = "\n".join(f"    {line}" for line in trouble.load.splitlines())
        print(f"thalweg watch: the last good state, of step {trouble.state_step}, "
              f"can be loaded with\n{lines}", file=sys.stderr)  # fmt: skip


__all__ = ["TrainingBroke", "Trouble", "Watching"]
