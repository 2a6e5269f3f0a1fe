"""What every test shares: one thread, the project's folders, and a way to run the command line."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before anything imports PyTorch, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
Completed = subprocess.CompletedProcess[str]


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


@dataclass(frozen=True)
class Diagnosed:
    """A diagnosis of the demo script from the command line: how it ended and what it wrote."""

    done: Completed
    json: Path
    html: Path


@pytest.fixture(scope="session")
def demo(thalweg: Callable[..., Completed], tmp_path_factory: pytest.TempPathFactory) -> Diagnosed:
    """The demo's diagnosis, made once for all tests that look at it."""
    folder = tmp_path_factory.mktemp("demo")
    json, html = folder / "demo.json", folder / "demo.html"
    script = "examples/disappointing_digits.py"
    done = thalweg("diagnose", "--budget", "3m", "--json", json, "--html", html, script)
    return Diagnosed(done, json, html)
