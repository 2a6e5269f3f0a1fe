"""Run trials, several at once, and never be harmed by one.

    with Runner("train.py") as runner:
        plain, halved = runner.run([runner.trial("plain"), runner.trial("halved", instruments=...)])

The runner starts a *nursery* (:mod:`thalweg.trials.nursery`), a process that imports what the
script imports and forks a trial per request; whatever a script does to its process, this one only
reads the outcome. This module imports nothing but the standard library and needs no torch itself.

The trials share the machine: unless the environment sets ``OMP_NUM_THREADS``, each of ``jobs``
trials gets its part of the cores, the same for all of them. Unless it sets ``PYTHONHASHSEED``,
hashes are fixed, so that sets of strings have one order in all trials.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from thalweg.trials.nursery import FRESH, interpreter
from thalweg.trials.trial import Outcome, Trial
from thalweg.trials.warden import GRACE, unheard, write_outcome

MOST_JOBS = 4
"""Default for the trials at once: more disturb each other's timing on most machines."""

READY_WITHIN = 120.0
"""Seconds that the script's imports may take before the nursery does without them."""

_TICK = 0.25


@dataclass(frozen=True)
class Progress:
    """How far a call of :meth:`Runner.run` is.

    ``latest`` is the outcome that this report is about, None for a sign of life.
    """

    done: int
    total: int
    running: tuple[str, ...]
    seconds: float
    latest: Outcome | None = None


OnProgress = Callable[[Progress], None]


@dataclass(eq=False)
class _Pending:
    """A trial on its way from submission to outcome."""

    id: int
    trial: Trial
    folder: Path
    deadline: float | None = None
    outcome: Outcome | None = None


@dataclass
class _Channel:
    """A nursery process and what is known of it."""

    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    replies: IO[bytes]
    bare: bool
    started: float = field(default_factory=time.monotonic)
    ready: dict[str, Any] | None = None
    waiting: bytes = b""


class Runner:
    """Runs trials of a script; a context manager, because it holds processes and a folder.

    Args:
        script: the script whose imports are made ready; trials usually run it.
        arguments: the script's command line, for :meth:`trial`.
        jobs: how many trials run at once; by default the cores available, at most four.
        folder: where each trial gets a folder of its own; by default a temporary one, which is
            removed when the runner is closed.
        fresh: give each trial a new interpreter instead of a fork of one that has imported already;
            seconds slower for each, and the only way on systems other than Linux.

    Raises:
        ValueError: ``jobs`` is below 1.

    After :meth:`run`, also after one that was interrupted, ``outcomes`` holds all outcomes so far.
    """

    def __init__(
        self,
        script: Path | str,
        arguments: Sequence[str] = (),
        jobs: int | None = None,
        folder: Path | str | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise ValueError(f"Runner(jobs={jobs}): at least one trial must run at a time.")
        self.script = Path(script)
        self.arguments = tuple(arguments)
        self.jobs = jobs or min(MOST_JOBS, cores())
        self.outcomes: list[Outcome] = []
        self._fresh = fresh
        self._own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="thalweg-trials-")).absolute()
        self._channel: _Channel | None = None
        self._queue: deque[_Pending] = deque()
        self._active: dict[int, _Pending] = {}
        self._submitted = 0

    def __enter__(self) -> Runner:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._channel = self._start(bare=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs, and remove the folder if it was the runner's own."""
        if self._channel is not None:
            _end(self._channel)
            self._channel = None
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def trial(self, name: str, **options: Any) -> Trial:
        """A trial of the runner's script with its arguments."""
        return Trial(name, **{"script": self.script, "arguments": self.arguments, **options})

    @property
    def import_seconds(self) -> float:
        """Seconds that the script's imports took, once for all trials; waits for their end."""
        while True:
            channel = self._open_channel()
            if channel.ready is not None:
                return float(channel.ready["import_seconds"])
            self._listen(_TICK)

    def run(
        self,
        trials: Sequence[Trial],
        on_progress: OnProgress | None = None,
        deadline: float | None = None,
    ) -> list[Outcome]:
        """Run the trials and return their outcomes, in the same order.

        Args:
            trials: what to run.
            on_progress: called when a trial ends and about four times a second.
            deadline: a value of ``time.monotonic()``; trials that run then end by ``seconds``,
                those that have not started are ``interrupted``.

        Raises:
            RuntimeError: the runner is closed, or Python cannot import torch in a child process.
            KeyboardInterrupt: passed on, as is an exception of ``on_progress``, after the trials
                under way were ended and ``outcomes`` completed with the rest as ``interrupted``.
        """
        pending = [self._submit(trial, deadline) for trial in trials]
        try:
            self._watch(pending, on_progress or (lambda progress: None))
        except BaseException:
            self._interrupt(pending)
            raise
        return [one.outcome for one in pending if one.outcome is not None]

    def _watch(self, pending: list[_Pending], on_progress: OnProgress) -> None:
        started = time.monotonic()
        told: set[int] = set()
        while len(told) < len(pending):
            self._fill()
            self._listen(_TICK)
            fresh = [one for one in pending if one.outcome is not None and one.id not in told]
            for outcome, ids in [(one.outcome, {one.id}) for one in fresh] or [(None, set())]:
                told |= ids
                names = tuple(one.trial.name for one in self._active.values())
                seconds = time.monotonic() - started
                on_progress(Progress(len(told), len(pending), names, seconds, outcome))

    # Trials: queued, active, done.

    def _submit(self, trial: Trial, deadline: float | None) -> _Pending:
        number = self._submitted
        self._submitted += 1
        slug = re.sub(r"[^A-Za-z0-9._+-]+", "-", trial.name).strip("-.")[:60] or "trial"
        folder = self.folder / f"{number:03d}-{slug}"
        pending = _Pending(number, trial, folder, deadline)
        self._queue.append(pending)
        return pending

    def _fill(self) -> None:
        """Start what may start."""
        channel = self._open_channel()
        while channel.ready is not None and self._queue and len(self._active) < self.jobs:
            self._begin(channel, self._queue.popleft())

    def _begin(self, channel: _Channel, pending: _Pending) -> None:
        trial = pending.trial
        if pending.deadline is not None:
            left = pending.deadline - time.monotonic()
            if left <= 0:
                return self._give_up(pending, "the time was over before it started")
            trial = replace(trial, max_seconds=min(trial.max_seconds, left))
        shutil.rmtree(pending.folder, ignore_errors=True)
        pending.folder.mkdir(parents=True)
        self._active[pending.id] = pending
        data = {"id": pending.id, "trial": trial.as_dict(), "folder": str(pending.folder)}
        return _send(channel, {"run": data})

    def _give_up(self, pending: _Pending, reason: str) -> None:
        outcome = unheard(pending.trial, pending.folder, "interrupted", reason)
        with contextlib.suppress(OSError):
            pending.folder.mkdir(parents=True, exist_ok=True)
        write_outcome(outcome)
        self._finish(pending, outcome)

    def _finish(self, pending: _Pending, outcome: Outcome) -> None:
        pending.outcome = replace(outcome, trial=pending.trial)
        self.outcomes.append(pending.outcome)
        self._active.pop(pending.id, None)

    def _interrupt(self, pending: list[_Pending]) -> None:
        """End what runs, drop what waits."""
        self._queue = deque(one for one in self._queue if one not in pending)
        if self._channel is not None:
            _send(self._channel, {"cancel": None})
        until = time.monotonic() + GRACE + 1
        while self._channel and self._active and time.monotonic() < until:
            self._listen(_TICK)
        for one in pending:
            if one.outcome is None:
                self._give_up(one, "stopped by the caller")

    # The nursery.

    def _open_channel(self) -> _Channel:
        if self._channel is None:
            raise RuntimeError(
                "Runner: no nursery is running. Use it as 'with Runner(SCRIPT) as runner: ...'."
            )
        return self._channel

    def _start(self, bare: bool) -> _Channel:
        """Start a nursery; a bare one does without the script's imports."""
        options = [FRESH] if self._fresh else [] if bare else [str(self.script.absolute())]
        command = interpreter("nursery") + options
        with open(self.folder / "nursery.txt", "ab") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(self.jobs),
                start_new_session=True,  # Ctrl-C is for this process to pass on
            )
        requests, replies = process.stdin, process.stdout
        if requests is None or replies is None:
            raise RuntimeError("Runner: the nursery was started without pipes.")
        return _Channel(process, requests, replies, bare)

    def _listen(self, seconds: float) -> None:
        """Take in what the nursery says, waiting for at most that long."""
        channel = self._open_channel()
        readable, _, _ = select.select([channel.replies], [], [], seconds)
        if readable:
            if received := os.read(channel.replies.fileno(), 65536):
                *lines, channel.waiting = (channel.waiting + received).split(b"\n")
                for line in lines:
                    self._hear(channel, json.loads(line))
            else:
                self._replace(channel)
        elif channel.ready is None and time.monotonic() - channel.started > READY_WITHIN:
            self._replace(channel)

    def _hear(self, channel: _Channel, message: dict[str, Any]) -> None:
        if "ready" in message:
            channel.ready = message["ready"]
        elif message["ended"] in self._active:
            self._finish(self._active[message["ended"]], Outcome.from_dict(message["outcome"]))

    def _replace(self, channel: _Channel) -> None:
        """The nursery died, or never got ready: give up what it ran, and start a bare one."""
        _end(channel)
        self._channel = None
        for pending in list(self._active.values()):
            lost = "the process that forks trials died"
            self._finish(pending, unheard(pending.trial, pending.folder, "killed", lost))
        if channel.bare and channel.ready is None:
            raise RuntimeError(
                "Runner: a child process cannot import torch. The last it said was:\n"
                + _tail(self.folder / "nursery.txt")
            )
        self._channel = self._start(bare=True)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment(jobs: int) -> dict[str, str]:
    share = {"OMP_NUM_THREADS": str(max(1, cores() // jobs))} if jobs > 1 else {}
    return {"PYTHONHASHSEED": "0", **share, **os.environ}


def _send(channel: _Channel, message: dict[str, Any]) -> None:
    """Say something; that the nursery is dead is found out by listening."""
    with contextlib.suppress(BrokenPipeError):
        channel.requests.write(json.dumps(message).encode() + b"\n")
        channel.requests.flush()


def _end(channel: _Channel) -> None:
    """Close the nursery's input, upon which it ends its trials and itself; else kill it."""
    for pipe in (channel.requests, channel.replies):
        with contextlib.suppress(OSError):
            pipe.close()
    if channel.ready is None:  # it is importing, and does not listen
        channel.process.kill()
    try:
        channel.process.wait(GRACE + 3)
    except subprocess.TimeoutExpired:
        channel.process.kill()
        channel.process.wait()


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-5:])
    return "(nothing)"
