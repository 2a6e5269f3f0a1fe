"""Having the machine's C compiler make a library, once for all processes."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang", "c++", "g++", "clang++")
# Each operation is rounded as it stands: `v - g * g` in one rounding would not be 0 where v is g².
FLAGS = ("-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
# Compilers that do not know the processor they run on are asked again without it.
TUNED = (("-march=native",), ())


def library(source: str) -> ctypes.CDLL:
    """A C source as a loaded library, which later processes find compiled.

    Raises:
        RuntimeError: there is no C compiler, or it fails.
    """
    command = _compiler()
    name = hashlib.sha256("\0".join((source, *command, *FLAGS, _processor())).encode()).hexdigest()
    try:
        path = _made(_folder() / f"{name[:32]}.so", command, source)
    except OSError:  # a disk that is full, or a folder that only seems to take files
        path = _made(_own_folder() / f"{name[:32]}.so", command, source)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise RuntimeError(f"the compiled library cannot be loaded: {error}") from error


def _made(path: Path, command: tuple[str, ...], source: str) -> Path:
    """`path`, with the compiled source in it.

    Raises:
        RuntimeError: the compiler fails.
        OSError: nothing can be written there.
    """
    if not path.exists():
        _compile(command, source, path)
    return path


def _compile(command: tuple[str, ...], source: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        code, made = Path(folder, "kernel.c"), Path(folder, "kernel.so")
        code.write_text(source, encoding="utf-8")
        for tuned in TUNED:
            words = [*command, "-x", "c", *FLAGS, *tuned, str(code), "-o", str(made), "-lm"]
            done = _run(words)
            if done.returncode == 0:
                made.replace(path)  # at once, so that no other process finds half of it
                return
    raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RuntimeError(f"the C compiler cannot be run: {error}") from error


def _compiler() -> tuple[str, ...]:
    if named := os.environ.get("CC", "").split():
        return tuple(named)
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None:
        raise RuntimeError("no C compiler found; install one, or name it in the variable CC")
    return (found,)


def _folder() -> Path:
    """Where libraries are kept: beside PyTorch's own if it was told where, or the user's cache."""
    try:
        told = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        usual = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(told or usual, "thalweg")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError):  # no home, or none to write to
        return _own_folder()
    return folder if os.access(folder, os.W_OK) else _own_folder()


@cache
def _own_folder() -> Path:
    """A folder of this process, for want of a lasting one."""
    folder = tempfile.mkdtemp(prefix="thalweg-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def _processor() -> str:
    """What the compiler can make use of: a home may be shared by machines that differ."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    features = (x for x in lines if x.startswith(("flags", "Features")))
    return f"{platform.system()} {platform.machine()} {next(features, '')}"
