"""What every test shares: one thread, the project's folders, and a way to run the command line."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Before anything imports PyTorch, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
Completed = subprocess.CompletedProcess[str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Keep what was collected, which stays to the end, out of every look at what lives.

    The recorder goes through all living objects to find a program's models: as many again as
    there are tests would make it several times slower.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def thalweg() -> Callable[..., Completed]:
    """Run `thalweg WORDS` in a process of its own; output is captured as text."""

    def run(*words: str | Path, cwd: Path = ROOT, timeout: float = 300.0) -> Completed:
        return subprocess.run(
            [sys.executable, "-m", "thalweg", *map(str, words)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
