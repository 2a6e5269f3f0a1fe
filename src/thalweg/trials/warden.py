"""Watch one trial's process: keep it to its time, end all that it started, tell the outcome.

Time is kept in three steps. At the limit the trial is *asked* to end (it closes its instruments, so
that what was recorded until then is whole), half a grace period later it is asked again, and after
the grace period it is killed. Killed with it are its process group and, on Linux, every descendant,
whatever session it fled to: there the warden is a process of its own, to which the kernel gives the
orphans of its trial.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any, Protocol

from thalweg.trials.trial import Ended, Outcome, Trial, ending

GRACE = 2.0
"""Seconds from a trial's limit to its being killed."""

PREPARATION = 60.0
"""Seconds that a trial may take to enter its instruments before its time runs all the same."""

MOST_OUTPUT = 64 * 2**20
"""Bytes of stdout, and of stderr, that a trial may keep; beyond, what it printed is dropped."""

STDOUT, STDERR, OUTCOME = "stdout.txt", "stderr.txt", "outcome.json"
BEGUN, RESULT, SCRATCH = "begun", "ended.json", "scratch"

OUT_OF_TIME, STOPPED = signal.SIGXCPU, signal.SIGTERM
"""The signals by which a trial is asked to end: at its limit, and at the caller's wish."""

_PAUSE = 0.01
_FROM_OUTSIDE = {"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"}


class Process(Protocol):
    """A running trial, however it was started."""

    pid: int
    cpu_seconds: float

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""


class Forked:
    """A trial that is a child of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.cpu_seconds = 0.0

    def poll(self) -> int | None:
        """See :class:`Process`."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return os.waitstatus_to_exitcode(status)


class Started:
    """A trial in a fresh interpreter."""

    def __init__(self, process: Popen[bytes]) -> None:
        self.pid = process.pid
        self.cpu_seconds = 0.0
        self.poll = process.poll


def watch(process: Process, trial: Trial, folder: Path, stop: Callable[[], bool]) -> Outcome:
    """Wait for the trial's end, seeing to it that there is one.

    Args:
        process: the trial's process, the leader of its own group.
        trial: what it runs.
        folder: the trial's folder; ``outcome.json`` is written there, its scratch files removed.
        stop: asked about a hundred times a second; true ends the trial as ``interrupted``.
    """
    begun, asked, code = _wait(process, trial, folder, stop)
    seconds = time.monotonic() - begun
    end_group(process.pid)
    told = _told(folder) or _deduced(code, asked, seconds, process.cpu_seconds)
    outcome = Outcome(
        trial=trial,
        folder=folder,
        ended=ending(told["ended"]),
        exit_code=told["exit_code"],
        reason=told["reason"],
        seconds=told["seconds"],
        cpu_seconds=max(told["cpu_seconds"], process.cpu_seconds),
        stdout_path=folder / STDOUT,
        stderr_path=folder / STDERR,
    )
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    (folder / BEGUN).unlink(missing_ok=True)
    write_outcome(outcome)
    return outcome


def _wait(
    process: Process, trial: Trial, folder: Path, stop: Callable[[], bool]
) -> tuple[float, Ended | None, int]:
    """When the script began, why it was asked to end, if it was, and the exit code."""
    started = begun = time.monotonic()
    asked: Ended | None = None
    asked_at, times = 0.0, 0
    while (code := process.poll()) is None:
        now = time.monotonic()
        if begun == started and (folder / BEGUN).exists():
            begun = now
        patience = trial.max_seconds + (PREPARATION if begun == started else 0.0)
        if asked is None and (stopped := stop()) | (now - begun >= patience):
            asked, asked_at = ("interrupted" if stopped else "seconds"), now
        if asked is not None and now - asked_at >= times * GRACE / 2:
            _ask(process.pid, asked, last=times == 2)
            times += 1
        _drop_excess(folder)
        time.sleep(_PAUSE)
    return begun, asked, code


def _ask(pid: int, ended: Ended, last: bool) -> None:
    number = STOPPED if ended == "interrupted" else OUT_OF_TIME
    if last:
        return end_group(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def end_group(leader: int) -> None:
    """Kill the process and its group, if there still is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _drop_excess(folder: Path) -> None:
    for name in (STDOUT, STDERR):
        with contextlib.suppress(OSError):
            if os.stat(folder / name).st_size > MOST_OUTPUT:
                os.truncate(folder / name, 0)  # it is open for appending, and goes on from here


def _told(folder: Path) -> dict[str, Any] | None:
    """What the trial said of its end."""
    try:
        told: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        (folder / RESULT).unlink()
    except (OSError, ValueError):
        return None
    return told


def _deduced(code: int, asked: Ended | None, seconds: float, cpu: float) -> dict[str, Any]:
    """What can be said of the end of a trial that said nothing."""
    ended, reason = _meaning(code)
    if asked is not None:
        limit = "at its time limit" if asked == "seconds" else "by the caller"
        ended, reason = asked, f"killed {limit}: it did not end when asked"
    kept = None if asked is not None else code
    times = {"seconds": seconds, "cpu_seconds": cpu}
    return {"ended": ended, "exit_code": kept, "reason": reason, **times}


def _meaning(code: int) -> tuple[Ended, str]:
    if code == 0:
        return "finished", "the script left by os._exit(0)"
    if code > 0:
        return "crashed", f"the script left by os._exit({code})"
    name = _signal_name(-code)
    if name in _FROM_OUTSIDE:
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return "killed", f"ended by {name} from outside{hint}"
    return "crashed", f"ended by {name} ({signal.strsignal(-code)})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def unheard(trial: Trial, folder: Path, ended: Ended, reason: str) -> Outcome:
    """The outcome of a trial that never ran, or of which nothing was heard."""
    return Outcome(trial, folder, ended, None, reason, 0.0, 0.0, folder / STDOUT, folder / STDERR)


def write_outcome(outcome: Outcome) -> None:
    """Write ``outcome.json``, whole or not at all; a full disk loses the file, not the outcome."""
    path = outcome.folder / OUTCOME
    partial = path.with_suffix(".part")
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps(outcome.as_dict(), indent=1), encoding="utf-8")
        os.replace(partial, path)


# Linux: orphans, and what happens when a parent dies.

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """Let descendants whose parents die become children of this process (Linux 3.4)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, number: int) -> None:
    """Have signal ``number`` sent to this process when its parent ``parent`` dies (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before the kernel was told
        os.kill(os.getpid(), number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_descendants() -> None:
    """Kill and reap every child of this process, orphans that come to it included."""
    while children := list(_children()):
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def _children() -> Iterator[int]:
    """Children of this process by ``/proc``; none where there is no ``/proc``."""
    me = str(os.getpid())
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state parent ...", where the name may hold anything
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            if fields[1] == me:
                yield int(entry.parent.name)
