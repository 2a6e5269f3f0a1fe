"""Run a script in this process exactly as ``python SCRIPT ARGUMENTS`` would.

:func:`execute` gives the script a real ``__main__`` module, its own ``sys.argv`` and
``sys.path[0]``, compiles it under the path that Python would show, treats ``SystemExit`` and
uncaught exceptions as the interpreter does, and waits for its threads and runs its exit handlers
before it returns.

What differs from a process of its own:

* Modules that this process had imported stay imported: an import's side effects (output, warnings)
  are not repeated. A script that changes ``OMP_NUM_THREADS`` before its first ``import torch`` may
  come too late.
* Handlers registered with ``atexit`` before the script run at the script's end, after its own.
* Objects still alive at the end are finalized when this process ends, not when ``execute`` returns.
* ``KeyboardInterrupt`` gives code 130; Python ends itself by SIGINT, which a shell shows as 130.
* ``sys.getrecursionlimit()`` is larger by the few frames that stand below the script here, so that
  a runaway recursion stops at the same depth.
* Of a source that cannot be decoded, the ``SyntaxError`` is worded otherwise.
* ``-i``, ``-m``, zip files and folders are not handled: ``script`` is a Python file.

The process belongs to the script afterwards: ``__main__``, ``sys.argv`` and ``sys.path`` stay the
script's, because what outlives its last line (finalizers, pickling) looks there. Call ``execute``
once per process, then leave with the code that it returns.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

from thalweg.trials.trial import TrialEnded

# Folders of this package whose frames are between a script and what it called, never its own.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OURS = tuple(
    os.path.join(_PACKAGE, name, "") for name in ("trials", "recorder", "interventions", "watching")
)

# The builtin `exec` itself takes part in the interpreter's count of nested calls.
_CALL_OF_EXEC = 1


@dataclass(frozen=True)
class Ending:
    """How a script ended: its exit code, and its uncaught exception in one line ('' if none)."""

    code: int
    reason: str = ""


def execute(
    script: Path | str,
    arguments: Sequence[str],
    failed: Callable[[BaseException], None] | None = None,
) -> int:
    """Run ``script`` with ``arguments`` as its command line and return its exit code.

    Args:
        script: the file as it was named; a string is shown to the script as it is written, while a
            ``Path`` has already lost a leading ``./``.
        arguments: the rest of the command line.
        failed: called with the exception that ends the script, before its traceback is shown.

    Raises:
        OSError: the script cannot be read.
        TrialEnded: an instrument ended the script; threads and exit handlers are not waited for.
    """
    return run_script(script, arguments, failed).code


def run_script(
    script: Path | str,
    arguments: Sequence[str],
    failed: Callable[[BaseException], None] | None = None,
) -> Ending:
    """:func:`execute`, telling also which exception ended the script."""
    path = os.path.join(os.getcwd(), script)  # not normalized, as Python leaves it
    source = Path(path).read_bytes()
    module = _become_main(path, os.fspath(script), arguments)
    result = _run(source, path, module, failed or (lambda _: None))
    _wind_down()
    return result


def _become_main(path: str, shown: str, arguments: Sequence[str]) -> types.ModuleType:
    """Make the fresh ``__main__`` of ``path`` and set argv and path as Python does."""
    main = types.ModuleType("__main__")
    loader = SourceFileLoader("__main__", path)
    main.__dict__.update(
        __file__=path, __cached__=None, __loader__=loader, __builtins__=builtins, __annotations__={}
    )
    sys.modules["__main__"] = main
    sys.argv = [shown, *arguments]
    if not sys.flags.safe_path:
        sys.path[0:1] = [os.path.dirname(os.path.realpath(path))]
    return main


def _run(
    source: bytes, path: str, main: types.ModuleType, failed: Callable[[BaseException], None]
) -> Ending:
    error = _error_of(source, path, main)
    # The error is answered out here, where none is being handled: a hook sees the same state as
    # under plain Python, and what it raises has no context.
    if error is None:
        return Ending(0)
    if isinstance(error, TrialEnded):
        raise error
    failed(error)
    return _system_exit(error) if isinstance(error, SystemExit) else _uncaught(error)


def _error_of(source: bytes, path: str, main: types.ModuleType) -> BaseException | None:
    """What the script raised, if anything."""
    try:
        code = compile(source, path, "exec", dont_inherit=True)
        _allow_for_our_frames()
        exec(code, main.__dict__)
    except BaseException as error:
        return error
    return None


def _allow_for_our_frames() -> None:
    """Raise the recursion limit by the frames below the script that plain Python would not have."""
    frame, depth = sys._getframe(1).f_back, 1
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(sys.getrecursionlimit() + depth + _CALL_OF_EXEC)


def _system_exit(request: SystemExit) -> Ending:
    """The exit code of a ``SystemExit``: None is 0, a number itself, the rest is printed and 1."""
    code = request.code
    if code is None:
        return Ending(0)
    if isinstance(code, int):
        return Ending(int(code) & 0xFF, f"sys.exit({code!r})" if code else "")
    _flush(sys.stdout)
    print(code, file=sys.stderr)
    return Ending(1, f"sys.exit({str(code)[:200]!r})")


def _uncaught(error: BaseException) -> Ending:
    """Show the script's own traceback, without our frames, through its own ``sys.excepthook``."""
    _hide_our_frames(error)
    _flush(sys.stdout)
    second = _error_of_hook(error)
    if isinstance(second, SystemExit):
        return _system_exit(second)
    if second is not None:
        _hide_our_frames(second)
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(second), second, second.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(type(error), error, error.__traceback__)
    return Ending(130 if isinstance(error, KeyboardInterrupt) else 1, _one_line(error))


def _error_of_hook(error: BaseException) -> BaseException | None:
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException as second:
        return second
    return None


def _hide_our_frames(error: BaseException) -> None:
    for one in _chain(error):
        one.__traceback__ = _without_our_frames(one.__traceback__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """``error``, what it was raised from and during, and the members of groups."""
    waiting, met = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in met:
            met.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def _without_our_frames(first: types.TracebackType | None) -> types.TracebackType | None:
    """The traceback without the frames of what runs, records and changes a script.

    Where PyTorch hands a function to a recorder it enters that function, and
    ``handle_torch_function`` from there: those two frames are not the script's either, and the
    recorder enters the function anew.
    """
    entries = list(_entries(first))
    ours = [one.tb_frame.f_code.co_filename.startswith(_OURS) for one in entries]
    for at, one in enumerate(entries[:-1]):
        if one.tb_frame.f_code.co_name == "handle_torch_function" and ours[at + 1]:
            ours[max(0, at - 1)] = ours[at] = True
    kept = None
    for entry, own in zip(reversed(entries), reversed(ours), strict=True):
        if not own:
            entry.tb_next = kept
            kept = entry
    return kept


def _entries(traceback: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    line = f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
    first = error.__traceback__
    return f"{line} (line {first.tb_lineno})" if first else line


def _wind_down() -> None:
    """What the interpreter does after the last line: wait for threads, run exit handlers, flush.

    Both calls are the ones that ``multiprocessing`` ends its own children with.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except KeyboardInterrupt as error:
        sys.excepthook(type(error), error, error.__traceback__)
    atexit._run_exitfuncs()
    _flush(sys.stdout)
    _flush(sys.stderr)


def _flush(stream: object) -> None:
    """Flush; a closed pipe or a full disk is met again, and reported, at the interpreter's end."""
    with contextlib.suppress(Exception):
        stream.flush()  # type: ignore[attr-defined]
