"""A process that has imported what a script imports, and forks a trial from there on request.

Importing torch takes seconds, forking a process that has imported it takes milliseconds. So the
nursery imports torch, numpy and the script's own installed imports once, computes nothing, starts
no device, and gives every trial a copy of itself. Spoken to in lines of JSON: requests come on
standard input, replies go to standard output.

    -> {"run": {"id": 3, "trial": {...}, "folder": "..."}}   <- {"ended": 3, "outcome": {...}}
    -> {"cancel": 3}  or {"cancel": null} for all            <- {"ready": {"import_seconds": 2.1}}

When its input ends, because the runner is done or dead, it ends the trials and itself.

Where forking is not safe (other systems than Linux, or an import that started CUDA), each trial
gets a fresh interpreter instead; it starts later and is otherwise the same.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from thalweg.trials import warden
from thalweg.trials.preimport import imports_of
from thalweg.trials.trial import Outcome, Trial

FRESH = "--fresh"

# torch imports torch._dynamo, for two seconds, when the first optimizer is made.
_ALWAYS = [(name, "") for name in ("torch", "torch._dynamo", "numpy", "thalweg.trials.child")]


def main() -> None:
    """Import for the scripts in the arguments, or torch and numpy alone; serve until the end."""
    arguments = sys.argv[1:]
    requests, replies = _take_over_the_channels()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = time.monotonic()
    scripts = [Path(one) for one in arguments if one != FRESH]
    fresh = FRESH in arguments or sys.platform != "linux"
    if not fresh:
        _import_for(scripts)
    nursery = _Nursery(requests, replies, fresh or _has_started_cuda())
    _survey()
    gc.collect()
    gc.freeze()  # so that collections in the children do not copy every page
    nursery.reply({"ready": {"import_seconds": time.monotonic() - started, "fresh": nursery.fresh}})
    nursery.serve()


def _take_over_the_channels() -> tuple[int, int]:
    """Move the pipes away from descriptors 0 and 1, where imports and scripts would meet them."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, replies


def _import_for(scripts: list[Path]) -> None:
    for module, attribute in [*_ALWAYS, *(name for one in scripts for name in imports_of(one))]:
        _import(module, attribute)


def _import(module: str, attribute: str = "") -> None:
    """Import; a failure is for the script to meet, where it may be prepared for it."""
    with warnings.catch_warnings(), contextlib.suppress(Exception, SystemExit):
        warnings.simplefilter("ignore")
        found = importlib.import_module(module)
        if attribute and not hasattr(found, attribute):
            importlib.import_module(f"{module}.{attribute}")


def _survey() -> None:
    """Do once what each trial's overlay would do again."""
    if "torch" in sys.modules:  # a bare nursery for fresh interpreters does without
        importlib.import_module("thalweg.trials.overlay").survey()


def _has_started_cuda() -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


class _Running:
    """A trial under way, as the nursery sees it: a pipe for its outcome, and a way to stop it."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.id = int(request["id"])
        self.trial = Trial.from_dict(request["trial"])
        self.folder = Path(request["folder"])
        self.told = b""
        self.stop: Callable[[], None]
        self.wait: Callable[[], object]

    def prepare(self) -> None:
        """Take what the trial needs of the system."""
        self.temporary = Path(tempfile.mkdtemp(prefix="thalweg-"))
        self.reading, self.writing = os.pipe()


class _Nursery:
    def __init__(self, requests: int, replies: int, fresh: bool) -> None:
        self.requests = requests
        self.replies = replies
        self.fresh = fresh
        self.running: dict[int, _Running] = {}
        self.selector = selectors.DefaultSelector()

    def reply(self, message: dict[str, Any]) -> None:
        """Tell the runner; if it is gone, the end of its requests says so next."""
        data = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self.replies, data) :]

    def serve(self) -> None:
        """Start what is asked for and pass on what comes of it, until the requests end."""
        self.selector.register(self.requests, selectors.EVENT_READ)
        waiting = b""
        while True:
            for key, _ in self.selector.select():
                if key.fd != self.requests:
                    self._hear(key.data)
                elif received := os.read(self.requests, 65536):
                    *lines, waiting = (waiting + received).split(b"\n")
                    for line in lines:
                        self._obey(json.loads(line))
                else:
                    return self._end()

    def _obey(self, request: dict[str, Any]) -> None:
        if "run" in request:
            return self._start(request["run"])
        for running in self.running.values():
            if request["cancel"] in (None, running.id):
                running.stop()
        return None

    def _start(self, request: dict[str, Any]) -> None:
        for one in request["trial"]["instruments"]:
            _import(one["make"].partition(":")[0])
        running = _Running(request)
        try:
            running.prepare()
            (self._start_fresh if self.fresh else self._fork)(running)
        except OSError as error:
            outcome = _lost(running, f"no process could be started: {error}")
            return self.reply({"ended": running.id, "outcome": outcome})
        self.running[running.id] = running
        self.selector.register(running.reading, selectors.EVENT_READ, running)
        return None

    def _hear(self, running: _Running) -> None:
        """More of an outcome, or its end."""
        if received := os.read(running.reading, 65536):
            running.told += received
            return
        self.selector.unregister(running.reading)
        os.close(running.reading)
        running.wait()
        shutil.rmtree(running.temporary, ignore_errors=True)
        del self.running[running.id]
        lost = "the process that watched the trial died"
        told = json.loads(running.told) if running.told else _lost(running, lost)
        self.reply({"ended": running.id, "outcome": told})

    def _end(self) -> None:
        """Stop every trial and wait until it is gone."""
        for running in self.running.values():
            running.stop()
        while self.running:
            for key, _ in self.selector.select():
                if key.fd != self.requests:
                    self._hear(key.data)

    # A trial forked from here, under a warden of its own.

    def _fork(self, running: _Running) -> None:
        nursery = os.getpid()
        pid = _forked()
        if pid == 0:
            _guarded(lambda: self._be_warden(running, nursery))
        os.close(running.writing)
        running.stop = lambda: os.kill(pid, signal.SIGTERM)
        running.wait = lambda: os.waitpid(pid, 0)

    def _be_warden(self, running: _Running, nursery: int) -> None:
        os.setsid()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        warden.die_with_parent(nursery, signal.SIGTERM)
        warden.adopt_orphans()
        self.selector.close()
        for fd in (self.requests, self.replies, *(r.reading for r in self.running.values())):
            os.close(fd)
        me = os.getpid()
        pid = _forked()
        if pid == 0:
            _guarded(lambda: _be_child(running, me))
        process = warden.Forked(pid)
        outcome = warden.watch(process, running.trial, running.folder, stop.is_set)
        warden.end_descendants()
        shutil.rmtree(running.temporary, ignore_errors=True)  # the nursery may be gone by now
        _tell(running.writing, outcome)

    # A trial in a fresh interpreter, watched by a thread.

    def _start_fresh(self, running: _Running) -> None:
        request = {"trial": running.trial.as_dict(), "folder": str(running.folder)}
        request["temporary"] = str(running.temporary)
        with _outputs(running) as (out, err):
            process = subprocess.Popen(
                [*interpreter("child"), json.dumps(request)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        stop = threading.Event()
        watching = threading.Thread(target=_watch_fresh, args=(process, running, stop))
        watching.start()
        running.stop, running.wait = stop.set, watching.join


def interpreter(module: str) -> list[str]:
    """A command that runs ``main()`` of a module of this package, with nothing of the working
    directory on the import path meanwhile, where a ``json.py`` of the user's might lie."""
    unless_safe = "if not sys.flags.safe_path: del sys.path[0]"
    return [
        sys.executable,
        "-c",
        f"import sys\n{unless_safe}\nfrom thalweg.trials.{module} import main\nmain()",
    ]


def _watch_fresh(process: subprocess.Popen[bytes], running: _Running, stop: Any) -> None:
    try:
        started = warden.Started(process)
        _tell(running.writing, warden.watch(started, running.trial, running.folder, stop.is_set))
    finally:
        os.close(running.writing)


@contextlib.contextmanager
def _outputs(running: _Running) -> Any:
    with contextlib.ExitStack() as files:
        yield tuple(
            files.enter_context(open(running.folder / name, "ab"))
            for name in (warden.STDOUT, warden.STDERR)
        )


def _forked() -> int:
    """``os.fork``, with nothing buffered that both would write."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS, which survive a fork
        return os.fork()


def _guarded(work: Callable[[], None]) -> NoReturn:
    """Do the work and leave; a forked process must never come back into the nursery's loop."""
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def _be_child(running: _Running, parent: int) -> None:
    from thalweg.trials.child import live

    os.setsid()
    warden.die_with_parent(parent, signal.SIGKILL)
    os.close(running.writing)
    os.close(running.reading)
    with _outputs(running) as (out, err):
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _be_the_first_to_go()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.path.insert(0, "")  # the place that the script's own folder takes
    live(running.trial.as_dict(), running.folder, running.temporary)


def _be_the_first_to_go() -> None:
    """Short of memory, the kernel should take the trial, not its caller; and leave no core file."""
    import resource

    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _lost(running: _Running, reason: str) -> dict[str, Any]:
    return warden.unheard(running.trial, running.folder, "killed", reason).as_dict()


def _tell(fd: int, outcome: Outcome) -> None:
    data = json.dumps(outcome.as_dict()).encode()
    while data:
        data = data[os.write(fd, data) :]


if __name__ == "__main__":
    main()
