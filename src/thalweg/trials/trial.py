"""What a trial is and how it ended, as plain data, and the two ways to end one early.

A :class:`Trial` is one run of a user's script: its arguments, its budget, its random stream, and
the *instruments* entered around it. An :class:`Outcome` is what became of it. Both are frozen,
compare by value and travel as JSON, because they cross process borders and are kept on disk.

An instrument is named, never imported, by whoever asks for a trial: ``{"make":
"package.module:function", **options}``. In the trial's own process ``function(folder, trial_data,
**options)`` is called and must return a context manager, which is entered around the script.
``folder`` is the trial's folder (an instrument may write there), ``trial_data`` is
``Trial.as_dict()``.

This module imports nothing but the standard library.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args

Ended = Literal["finished", "steps", "seconds", "crashed", "killed", "interrupted"]
ENDINGS: tuple[str, ...] = get_args(Ended)


@dataclass(frozen=True)
class Trial:
    """One run of a script.

    Args:
        name: what to call it in progress and folders; need not be unique.
        script: the Python file to run, as ``python SCRIPT`` would take it.
        arguments: what follows the script on its command line.
        instruments: what to enter around the script, outermost first; see the module's docstring.
        seed_shift: 0 runs the script on its own random numbers, k > 0 on the k-th other stream.
        environment: environment variables to add. A variable that is read while torch is imported
            (``OMP_NUM_THREADS``) is set too late here: set it before making the ``Runner``.
        max_steps: a budget for the instruments to keep (they see it in ``trial_data``); nothing
            here knows what a step is.
        max_seconds: wall-clock limit, in seconds.
        seeds_of: the folder of an earlier trial whose seeds are stated again, so that a script
            that seeds itself from the clock meets the same numbers; None to leave them to it.

    Raises:
        ValueError: a budget that is not positive, a negative shift, or an instrument without a
            ``make`` of the form ``package.module:function``.
    """

    name: str
    script: Path
    arguments: tuple[str, ...] = ()
    instruments: tuple[dict[str, Any], ...] = ()
    seed_shift: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    max_steps: int | None = None
    max_seconds: float = 60.0
    seeds_of: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "script", Path(self.script))
        object.__setattr__(self, "seeds_of", self.seeds_of and Path(self.seeds_of))
        object.__setattr__(self, "arguments", tuple(self.arguments))
        object.__setattr__(self, "instruments", tuple(dict(one) for one in self.instruments))
        _check(self)

    def as_dict(self) -> dict[str, Any]:
        """The trial as JSON-ready data."""
        data = dataclasses.asdict(self)
        data.update(
            script=str(self.script),
            seeds_of=self.seeds_of and str(self.seeds_of),
            arguments=list(self.arguments),
            instruments=[dict(one) for one in self.instruments],
        )
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trial:
        """The trial that :meth:`as_dict` described."""
        return cls(**data)


def _check(trial: Trial) -> None:
    for name in ("max_steps", "max_seconds"):
        value = getattr(trial, name)
        if value is not None and not value > 0:
            raise ValueError(
                f"Trial({name}={value!r}): a budget must be above 0. Give a positive number."
            )
    if trial.seed_shift < 0:
        raise ValueError(
            f"Trial(seed_shift={trial.seed_shift}): streams are numbered from 0, the script's own."
        )
    for one in trial.instruments:
        module, _, function = str(one.get("make", "")).partition(":")
        if not (module and function):
            raise ValueError(
                f"Trial(instruments=({one!r},)): an instrument is named by its 'make', "
                "written 'package.module:function'."
            )


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    ``ended`` is one of

    * ``finished``: the script came to its end by itself, with exit code 0;
    * ``steps``: an instrument ended it at its budget;
    * ``seconds``: it was stopped at ``max_seconds``;
    * ``crashed``: the script failed: an uncaught exception, an exit code other than 0, a fault such
      as a segmentation violation, or an instrument that could not be made or closed;
    * ``killed``: someone else ended it (the kernel short of memory, ``kill -9``);
    * ``interrupted``: the caller stopped it, or it was never started.

    ``exit_code`` is the script's, a negative signal number if a signal ended it, None if it was
    stopped from outside before it had one. ``reason`` is one line for people. ``seconds`` is the
    wall-clock time of the script itself, ``cpu_seconds`` the processor time of the trial's process
    and of the children that it waited for.
    """

    trial: Trial
    folder: Path
    ended: Ended
    exit_code: int | None
    reason: str
    seconds: float
    cpu_seconds: float
    stdout_path: Path
    stderr_path: Path

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON-ready data; this is what ``outcome.json`` holds."""
        return {
            "trial": self.trial.as_dict(),
            "folder": str(self.folder),
            "ended": self.ended,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "stdout_path": str(self.stdout_path),
            "stderr_path": str(self.stderr_path),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """The outcome that :meth:`as_dict` described."""
        paths = {key: Path(data[key]) for key in ("folder", "stdout_path", "stderr_path")}
        return cls(**{**data, **paths, "trial": Trial.from_dict(data["trial"])})


Finalize = Callable[[Ended, str], NoReturn]


class _Here:
    """What the process that runs a trial knows of it; empty everywhere else."""

    finalize: Finalize | None = None
    asked: tuple[Ended, str] | None = None


class TrialEnded(BaseException):
    """Raised inside a script, by an instrument, to end its trial; not an error of the script.

    It derives from ``BaseException`` so that a script's ``except Exception`` lets it through.
    Making one is remembered, so that a trial whose script swallows it and comes to its end by
    itself is still told from a finished one.
    """

    def __init__(self, ended: Ended = "steps", reason: str = "") -> None:
        super().__init__(ended, reason)
        self.ended = ended
        self.reason = reason
        _Here.asked = _Here.asked or (ended, reason)


def begin(finalize: Finalize) -> None:
    """Declare that this process runs a trial, which ``finalize`` can end on the spot."""
    _Here.finalize, _Here.asked = finalize, None


def asked_to_end() -> tuple[Ended, str] | None:
    """The first (ended, reason) that :func:`end_trial` was given in this process, if any."""
    return _Here.asked


def end_trial(ended: Ended, reason: str) -> NoReturn:
    """End this process's trial the gentlest way that works.

    The first call, in the main thread, raises :class:`TrialEnded`, so that the script's ``finally``
    blocks run. A script that swallows it meets :func:`end_now` at the second call; so does a thread
    other than the main one, whose exceptions end nothing but itself.
    """
    asked = _Here.asked
    if asked is None and threading.current_thread() is threading.main_thread():
        raise TrialEnded(ended, reason)
    end_now(*(asked or (ended, reason)))


def end_now(ended: Ended, reason: str) -> NoReturn:
    """Close the instruments, note how the trial ended, and leave the process; never returns.

    In a process that the script forked (a data loader's worker) there is nothing to close: the
    process leaves with code 0.

    Raises:
        RuntimeError: no trial runs in this process.
    """
    if _Here.finalize is None:
        raise RuntimeError(
            f"end_now({ended!r}, {reason!r}): no trial runs in this process. "
            "Call it from an instrument, or raise TrialEnded where you handle it yourself."
        )
    _Here.finalize(ended, reason)
    os._exit(0)  # a finalizer that comes back must not let the script go on


def ending(word: str) -> Ended:
    """``word`` as an :data:`Ended`.

    Raises:
        ValueError: it is none of them.
    """
    if word not in ENDINGS:
        raise ValueError(f"{word!r} is not a way for a trial to end; those are {ENDINGS}.")
    return cast(Ended, word)
