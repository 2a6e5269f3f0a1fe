"""Seeds that a script takes from the clock, made comparable: later runs state the first run's.

A script that seeds itself with the time, or with bytes of the system, has other numbers in every
run, and two runs of it differ by more than what was changed. So the first run notes every seed that
is stated (:class:`Notes`), with the line that states it, and later runs answer the n-th statement
of that line with the seed of the first run's n-th (:class:`Earlier`). Of a script whose seeds are
constants this changes nothing.

Seeds stated by PyTorch itself (the samplers' and the workers') follow from the script's own and are
left as they are; so are those stated in processes that the script forks.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from types import FrameType

SEEDS = "seeds.jsonl"
MOST = 1000  # seeds that are noted; a script that states one at every step states no clock

Line = tuple[str, int]
Seed = int | float

_open, _write, _close = os.open, os.write, os.close  # not the doors that a trial's overlay replaces


class Notes:
    """What seeds were stated where, written down as they are stated.

    Args:
        folder: the trial's folder; None to note nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / SEEDS
        self._left = MOST

    def add(self, line: Line, seed: Seed) -> None:
        """Note one; a disk that is full costs the note and nothing else."""
        if self._path is None or self._left <= 0:
            return
        self._left -= 1
        data = json.dumps([*line, seed]).encode() + b"\n"
        with suppress(OSError):
            file = _open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            _write(file, data)
            _close(file)


class Earlier:
    """The seeds that an earlier run stated.

    Args:
        folder: that run's folder; None for none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._seeds: dict[Line, list[Seed]] = defaultdict(list)
        with suppress(OSError, ValueError):
            lines = [] if folder is None else (folder / SEEDS).read_text().splitlines()
            for file, number, seed in map(json.loads, lines):
                self._seeds[file, number].append(seed)

    def instead(self, line: Line, seed: Seed) -> Seed:
        """What the earlier run stated at this line, this many times on; else ``seed`` itself."""
        return self._seeds[line].pop(0) if self._seeds.get(line) else seed


class StatedSeeds:
    """A run's own notes and an earlier run's, asked together.

    Args:
        notes: this run's folder; None to note nothing.
        earlier: the folder of the run whose seeds are stated again; None for none.
    """

    def __init__(self, notes: Path | None = None, earlier: Path | None = None) -> None:
        self._here = os.getpid()
        self._notes, self._earlier = Notes(notes), Earlier(earlier)

    def settled(self, seed: Seed) -> Seed:
        """The seed to take where the script states ``seed``."""
        line = _stating_line()
        if line is None or os.getpid() != self._here:
            return seed
        taken = self._earlier.instead(line, seed)
        self._notes.add(line, taken)
        return taken


_OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


def _stating_line() -> Line | None:
    """Where the innermost call outside this package was made; None if PyTorch made it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] == "torch":
        return None
    return frame.f_code.co_filename, frame.f_lineno
