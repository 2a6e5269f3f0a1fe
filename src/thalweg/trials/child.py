"""The life of one trial, in a process of its own: enter instruments, run the script, tell the end.

:func:`live` is called right after a fork by :mod:`thalweg.trials.nursery`, or by :func:`main` in a
fresh interpreter where processes cannot be forked. It never returns. What it has to say goes into
``ended.json`` in the trial's folder; if that file is missing afterwards, the process ended in some
way of its own (a fault, a signal), and its exit status is all there is to know.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from thalweg.trials import trial as _trial
from thalweg.trials.departures import noticed
from thalweg.trials.landlock import forbid_writes_outside
from thalweg.trials.overlay import overlay
from thalweg.trials.script import run_script
from thalweg.trials.seeds import shifted
from thalweg.trials.stated_seeds import StatedSeeds
from thalweg.trials.trial import Ended, Trial, TrialEnded
from thalweg.trials.warden import BEGUN, OUT_OF_TIME, RESULT, SCRATCH, STOPPED


def live(data: dict[str, Any], folder: Path, temporary: Path) -> NoReturn:
    """Run the trial that ``data`` describes and leave the process.

    Args:
        data: ``Trial.as_dict()``.
        folder: the trial's folder, which exists.
        temporary: an empty folder for the script's temporary files; whoever made it removes it.
    """
    life = _Life(Trial.from_dict(data), folder)
    _trial.begin(life.end)
    try:
        life.enter(temporary)
    except BaseException as error:
        traceback.print_exc()
        life.end("crashed", f"the trial could not be prepared: {_said(error)}")
    life.run()
    os._exit(70)  # not reached: run() leaves the process


class _Life:
    def __init__(self, trial: Trial, folder: Path) -> None:
        self.trial = trial
        self.folder = folder
        self.pid = os.getpid()
        self.started = time.monotonic()
        self.around = ExitStack()

    def enter(self, temporary: Path) -> None:
        """Everything that stands around the script, outermost first."""
        os.environ.update(self.trial.environment)
        passing = [self.folder, _kernel_cache()]
        _use_for_temporary_files(temporary)
        stated = StatedSeeds(self.folder, self.trial.seeds_of)
        self.around.enter_context(shifted(self.trial.seed_shift, stated))
        layer = self.around.enter_context(overlay(self.folder / SCRATCH, passing))
        for one in self.trial.instruments:
            self.around.enter_context(_made(one, self.folder, self.trial))
        self.around.enter_context(noticed(self.conclude))
        forbid_writes_outside(layer.passing)
        sys.dont_write_bytecode = True  # the import system writes past the overlay
        _listen()
        (self.folder / BEGUN).touch()
        self.started = time.monotonic()

    def run(self) -> None:
        """Run the script to whatever end it comes to."""
        ended: Ended
        code: int | None
        try:
            ending = run_script(self.trial.script, self.trial.arguments)
            ended, code = "crashed" if ending.code else "finished", ending.code
            reason = ending.reason or _left(ending.code)
        except TrialEnded as request:
            ended, code, reason = request.ended, None, request.reason
        except OSError as error:
            ended, code, reason = "crashed", 2, f"the script cannot be read: {error}"
        self.conclude(ended, code, reason)

    def conclude(self, ended: Ended, code: int | None, reason: str) -> NoReturn:
        """Leave as the script does, unless it was asked to end before and went on."""
        if asked := _trial.asked_to_end():
            (ended, reason), code = asked, None
        self.leave(ended, code, reason)

    def end(self, ended: Ended, reason: str) -> NoReturn:
        """Leave now; what a worker that the script forked has to say concerns nobody."""
        if os.getpid() != self.pid:
            os._exit(0)
        self.leave(ended, None, reason)

    def leave(self, ended: Ended, code: int | None, reason: str) -> NoReturn:
        """Close what was entered, tell the end, and go without the interpreter's own farewell.

        An instrument that cannot be closed makes the trial ``crashed`` and leaves the script's own
        exit code, so that a failure of ours can be told from one of the script.
        """
        seconds = time.monotonic() - self.started
        _stop_listening()
        try:
            self.around.close()
        except BaseException as error:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be closed
                traceback.print_exc()
            ended, reason = "crashed", f"an instrument could not be closed: {_said(error)}"
        cpu = sum(os.times()[:4])
        told = {"ended": ended, "exit_code": code, "reason": reason, "seconds": seconds}
        try:
            _tell(self.folder / RESULT, {**told, "cpu_seconds": cpu})
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        finally:
            os._exit(code or 0)


def _made(instrument: dict[str, Any], folder: Path, trial: Trial) -> Any:
    options = dict(instrument)
    module, _, function = options.pop("make").partition(":")
    return getattr(importlib.import_module(module), function)(folder, trial.as_dict(), **options)


def _use_for_temporary_files(folder: Path) -> None:
    """A temporary folder of the trial's own, so that what trials leave there cannot meet."""
    tempfile.tempdir = str(folder)
    os.environ["TMPDIR"] = str(folder)


def _kernel_cache() -> Path:
    """Where torch keeps compiled kernels, which trials may share, pinned to its usual place."""
    user = "user"
    with contextlib.suppress(KeyError, OSError, ImportError):  # a container may not know its user
        user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
    usual = os.path.join(tempfile.gettempdir(), f"torchinductor_{user}")
    cache = Path(os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", usual))
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
    return cache


def _listen() -> None:
    """Let the warden end the trial by signals; asked twice, it ends whatever the script catches."""

    def end(number: int, _frame: object) -> None:
        if number == STOPPED:
            _trial.end_trial("interrupted", "stopped by the caller")
        _trial.end_trial("seconds", "stopped at its time limit")

    signal.signal(STOPPED, end)
    signal.signal(OUT_OF_TIME, end)


def _stop_listening() -> None:
    for number in (STOPPED, OUT_OF_TIME):
        signal.signal(number, signal.SIG_IGN)


def _left(code: int) -> str:
    return "the script came to its end" if code == 0 else f"the script left with exit code {code}"


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"


def _tell(path: Path, data: dict[str, Any]) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(data), encoding="utf-8")
    os.replace(partial, path)


def main() -> NoReturn:
    """Run the trial that the JSON in the first argument describes."""
    request = json.loads(sys.argv[1])
    sys.path.insert(0, "")  # the place that the script's own folder takes
    live(request["trial"], Path(request["folder"]), Path(request["temporary"]))
