"""Branches of a running program: the same process forked, each to go on under something else.

A branch has the program's whole state, random numbers and open files included. What it prints goes
to files of its own, and what it writes to a copy of what the program has written.

A fork has none of the threads of its process, and a kernel that waits for them waits for ever: the
program must have computed on one thread from its beginning.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from thalweg.recorder.replaced import replace
from thalweg.trials import apart

TICK = 0.01


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, whatever number the program asks for."""
    torch.set_num_threads(1)
    undo = replace(torch, "set_num_threads", lambda count: None)
    try:
        yield
    finally:
        undo()


def branch(folders: list[Path], jobs: int, deadline: float) -> int | None:
    """Fork a branch for each folder; several at once.

    Args:
        folders: of the branches; not there yet.
        jobs: how many go on at the same time.
        deadline: a value of ``time.monotonic()`` at which those that are left are killed.

    Returns:
        In a branch its number; in the program itself None, when all branches are gone.
    """
    running: set[int] = set()
    try:
        for number, folder in enumerate(folders):
            wait(running, jobs - 1, deadline)
            if time.monotonic() >= deadline:
                break
            flush()
            pid = os.fork()
            if not pid:
                running.clear()  # they are its siblings
                settle(folder)
                return number
            running.add(pid)
        wait(running, 0, deadline)
    finally:
        kill(running)
    return None


def wait(running: set[int], until: int, deadline: float) -> None:
    """Until so few are running, or the time is over."""
    while len(running) > until and time.monotonic() < deadline:
        for pid in list(running):
            if os.waitpid(pid, os.WNOHANG)[0]:
                running.discard(pid)
        time.sleep(TICK)


def kill(running: set[int]) -> None:
    """End those that are left."""
    for pid in running:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    running.clear()


def settle(folder: Path) -> None:
    """In a new branch: streams and files of its own."""
    folder.mkdir()
    for stream, name in ((1, "stdout.txt"), (2, "stderr.txt")):
        target = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(target, stream)
        os.close(target)
    apart(folder / "written")


def flush() -> None:
    """What was printed before a fork must not be printed by both."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
