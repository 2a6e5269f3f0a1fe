"""Notice when a script leaves its process by itself: ``os._exit``, or another program in its place.

Either skips everything that Python does at the end of a program, the closing of the instruments
included. Within :func:`noticed` the trial's own process says what it is about to do and leaves in
good order instead. Processes that the script forked are left to their own ends: there ``os._exit``
is how every worker goes.

Not noticed: the same system calls made in C.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn
from unittest.mock import patch

from thalweg.trials.trial import Ended

Leave = Callable[[Ended, int, str], NoReturn]

_REPLACING = ("execv", "execve")  # every other member of the family calls one of these


@contextmanager
def noticed(leave: Leave) -> Iterator[None]:
    """Call ``leave`` with how the trial ended, its exit code and why, where this process leaves.

    A script that puts another program in its own place ends there as far as a trial is concerned:
    nothing of the other program could be seen, and it would outlive the limits.
    """
    here = os.getpid()
    with ExitStack() as patches:
        for name in ("_exit", *_REPLACING):
            answer = _answer(name, getattr(os, name), here, leave)
            patches.enter_context(patch.object(os, name, answer))
        yield


def _answer(name: str, original: Callable[..., Any], here: int, leave: Leave) -> Callable[..., Any]:
    def depart(*args: Any, **kwargs: Any) -> Any:
        if os.getpid() != here:
            return original(*args, **kwargs)
        if name in _REPLACING:
            leave("finished", 0, f"the script put another program in its place (os.{name})")
        code = _code(*args, **kwargs)
        ended: Ended = "crashed" if code else "finished"
        return leave(ended, code, f"the script left by os._exit({code})")

    return depart


def _code(status: int) -> int:
    return int(status) & 0xFF
