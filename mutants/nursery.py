"""Running tests in forked processes, each with a copy of the source of its own.

The process that forks has imported PyTorch and pytest, and none of the package: a run costs what
its tests cost. Nothing has been computed there, so that no thread is lost in the fork.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch is imported

import pytest
import torch  # noqa: F401

from mutants.mutant import Mutant

COPIED = ("src", "tests", "pyproject.toml")
OPTIONS = ("-q", "-m", "not compile and not slow", "-p", "no:cacheprovider", "--tb=line")
PATIENCE = 600  # seconds; a mutant that runs for longer counts as seen
PASSED, FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED
FAULTS = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT)  # memory that is not the program's


@dataclass(frozen=True)
class Job:
    """Tests to run: with a mutant up to the first that fails, or all, without one."""

    tests: tuple[str, ...]
    mutant: Mutant | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended: pytest's exit code (or minus a signal), what failed, and the time."""

    job: Job
    code: int
    failed: tuple[str, ...]
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether a test has seen the mutant; that it cannot be imported does not count."""
        return self.code in (FAILED, -signal.SIGALRM, *FAULTS)


class Failures:
    """A plugin that writes down the tests that fail, and sees that the copy is tested.

    Args:
        path: where to write.
        source: the copy's folder of packages.
    """

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest with each test's outcome."""
        if report.failed:
            with self.path.open("a", encoding="utf-8") as file:
                print(report.nodeid, file=file)

    def pytest_sessionfinish(self) -> None:
        """Called by pytest at the end."""
        tested = sys.modules.get("thalweg")
        if tested and not str(tested.__file__).startswith(self.source):
            raise RuntimeError(f"the tests ran on {tested.__file__}, not on {self.source}")


class Nest:
    """A copy of the source in which one job runs at a time.

    Args:
        root: of the repository, or of another nest in which nothing runs.
        folder: empty; where the copy goes.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        self.failed, self.log = folder / "failed", folder / "log"
        for name in COPIED:
            copy = shutil.copytree if (root / name).is_dir() else shutil.copy2
            copy(root / name, folder / name)  # with its times, so that what is compiled stays so

    def start(self, job: Job) -> int:
        """Plant the job's mutant, and fork a process that does the job; its number."""
        self.job, self.begun = job, time.monotonic()
        self.failed.write_text("", encoding="utf-8")
        if job.mutant:
            path = job.mutant.path(self.folder)
            self.times, self.source = path.stat(), path.read_text(encoding="utf-8")
            path.write_text(job.mutant.applied(self.source), encoding="utf-8")
        if child := os.fork():
            return child
        code = int(pytest.ExitCode.INTERNAL_ERROR)
        try:
            code = self._run(job)
        finally:
            os._exit(code)

    def _run(self, job: Job) -> int:
        """The job, in a process of its own."""
        signal.alarm(PATIENCE)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(self.folder)
        source = os.environ["PYTHONPATH"] = str(self.folder / "src")
        sys.path.insert(0, source)
        sys.dont_write_bytecode = job.mutant is not None
        options = (*OPTIONS, "-x") if job.mutant else OPTIONS
        return int(pytest.main([*options, *job.tests], plugins=[Failures(self.failed, source)]))

    def end(self, status: int) -> Outcome:
        """Take the mutant out again, and say how the job ended."""
        if mutant := self.job.mutant:
            path = mutant.path(self.folder)
            path.write_text(self.source, encoding="utf-8")
            os.utime(path, ns=(self.times.st_atime_ns, self.times.st_mtime_ns))
        seconds = time.monotonic() - self.begun
        code = os.waitstatus_to_exitcode(status)
        failed = tuple(self.failed.read_text(encoding="utf-8").splitlines())
        return Outcome(self.job, code, failed, seconds)


def done(jobs: Iterable[Job], nests: Iterable[Nest]) -> Iterator[Outcome]:
    """Do all jobs, as many at a time as there are nests; outcomes as they come."""
    free, busy, waiting = list(nests), {}, iter(jobs)
    while True:
        while free and (job := next(waiting, None)):
            nest = free.pop()
            busy[nest.start(job)] = nest
        if not busy:
            return
        child, status = os.wait()
        nest = busy.pop(child)
        free.append(nest)
        yield nest.end(status)
