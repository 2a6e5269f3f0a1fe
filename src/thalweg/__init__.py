"""Thalweg finds what holds a PyTorch training script back, proves it, and mends it.

    import thalweg

    report = thalweg.diagnose("train.py")       # the findings as plain data
    thalweg.run("train.py", interventions=report["findings"][0]["remedy"]["interventions"])

Importing it is cheap: PyTorch is loaded when something first needs it. The parts of the library
(`thalweg.optim`, `thalweg.curvature`, ...) are loaded when they are first named.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "curvature_of",
    "diagnose",
    "environment",
    "explain",
    "run",
    "sparsity_of",
    "watch",
]

_PARTS = (
    "curvature",
    "doctor",
    "edits",
    "integrations",
    "interventions",
    "landscapes",
    "linalg",
    "minimize",
    "obstacles",
    "operators",
    "optim",
    "pruning",
    "recorder",
    "report",
    "survey",
    "testing",
    "training",
    "trials",
    "watching",
)


def diagnose(
    script: str | PathLike[str],
    arguments: Sequence[str] = (),
    *,
    budget: float = 300.0,
    steps: int | None = None,
    seed: int | None = None,
    only: Sequence[str] = (),
    progress: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """What holds a training script back, proved by running it with one thing changed at a time.

    Args:
        script: The training script, unedited.
        arguments: Its own command line arguments.
        budget: Seconds that the diagnosis may take.
        steps: Optimizer steps after which every run is stopped; as many as fit if None.
        seed: Seed of the first run; the script's own if None.
        only: Codes of the obstacles to look for; all if empty.
        progress: Called as the work goes on, with an object that has `done`, `total` and `says`.

    Returns:
        The report as plain data, as `thalweg diagnose --json` writes it (schema 1).

    Raises:
        thalweg.doctor.ScriptFailed: The script fails by itself.
        FileNotFoundError: There is no such script.
        ValueError: An argument cannot be; the message says which and what to give instead.
    """
    from thalweg import doctor

    return doctor.diagnose(
        _existing(script),
        list(arguments),
        budget=budget,
        steps=steps,
        seed=seed,
        only=tuple(only),
        progress=progress or (lambda _: None),
    ).as_data()


def run(
    script: str | PathLike[str],
    arguments: Sequence[str] = (),
    *,
    interventions: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Run a training script under interventions, in a process of its own.

    Args:
        script: The training script, unedited.
        arguments: Its own command line arguments.
        interventions: What to change, as plain data, such as a report's remedy holds:
            `{"kind": "learning-rate", "factor": 0.1}`. None: the script as it is.

    Returns:
        The script's exit code.

    Raises:
        FileNotFoundError: There is no such script.
    """
    options = [
        word for item in interventions for word in ("--intervention", json.dumps(dict(item)))
    ]
    # -P: a module of the current folder must not stand in for one that Thalweg imports.
    command = [sys.executable, "-P", "-m", "thalweg", "run", *options, "--"]
    return subprocess.run([*command, str(_existing(script)), *arguments], check=False).returncode


def curvature_of(
    script: str | PathLike[str],
    arguments: Sequence[str] = (),
    *,
    at: Sequence[int] = (0, 100, 500),
    products: int = 400,
    seed: int | None = None,
    budget: float = 300.0,
    progress: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """The curvature of a training script's loss at chosen steps.

    Args:
        script: The training script, unedited.
        arguments: Its own command line arguments.
        at: Optimizer steps before which to look, from 0.
        products: Hessian products at each step, at the most; one costs about two gradients.
        seed: Seed of the run and of the random vectors; the script's own, and 0, if None.
        budget: Seconds after which the script is stopped; what was found by then is kept.
        progress: Called as the work goes on, with an object that has `done`, `total` and `says`.

    Returns:
        What was found as plain data, as `thalweg curvature --json` writes it.

    Raises:
        thalweg.survey.ScriptFailed: The script fails by itself before the first of the steps.
        FileNotFoundError: There is no such script.
        ValueError: An argument cannot be; the message says which and what to give instead.
    """
    from thalweg import survey

    return survey.survey(
        _existing(script),
        list(arguments),
        at=tuple(at),
        products=products,
        seed=seed,
        budget=budget,
        progress=progress,
    ).as_data()


def sparsity_of(
    script: str | PathLike[str],
    sparsity: float | None = None,
    arguments: Sequence[str] = (),
    *,
    method: str | None = None,
    pattern: str | tuple[int, int] = "unstructured",
    save: str | PathLike[str] | None = None,
    seed: int | None = None,
    budget: float = 300.0,
    progress: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """What the network that a training script trains is worth at each sparsity.

    Args:
        script: The training script, unedited; it runs twice.
        sparsity: The share of zeros that is wanted, between 0 and 1, measured beside 0.5, 0.7, 0.8,
            0.9 and 0.95; None for these alone, or for that of an n:m pattern.
        arguments: Its own command line arguments.
        method: Of `thalweg.pruning.prune`, measured beside magnitude; by the network's size if
            None.
        pattern: "unstructured", "n:m" such as "2:4", or rows and columns of blocks.
        save: Where to write the `state_dict` of the network at that sparsity.
        seed: Seed of both runs; the script's own if None.
        budget: Seconds that both runs may take together.
        progress: Called as the work goes on, with an object that has `done`, `total` and `says`.

    Returns:
        What was found as plain data, as `thalweg prune --json` writes it.

    Raises:
        thalweg.survey.ScriptFailed: The script fails by itself.
        FileNotFoundError: There is no such script.
        ValueError: An argument cannot be, or the script trains nothing that can be pruned; the
            message says which and what to do instead.
    """
    from thalweg import survey

    return survey.sparsity(
        _existing(script),
        sparsity,
        list(arguments),
        method=method,
        pattern=pattern,
        save=None if save is None else fspath(save),
        seed=seed,
        budget=budget,
        progress=progress,
    ).as_data()


def watch(
    *,
    budget: float = 0.05,
    stop: bool = False,
    folder: str | PathLike[str] | None = None,
    writers: Sequence[Any] = (),
) -> Any:
    """Watch a training run of this process cheaply, as a context manager.

        with thalweg.watch() as watching:
            train()
        watching.data                            # the report as plain data

    Args:
        budget: Share of the run's time that watching may take; how often it looks follows that.
        stop: Raise `thalweg.watching.TrainingBroke` as soon as something breaks, instead of
            noting it.
        folder: Where to keep the recording and the last good state. If None, the recording is
            thrown away, and a state that is needed is kept in a folder of `thalweg-watch`.
        writers: Who keeps what is seen (`thalweg.watching.Writer`), such as a `TensorBoardWriter`
            of `thalweg.integrations`; closed at the end.

    Returns:
        A `thalweg.watching.Watching`. Nothing in its report is proved: `diagnose` does that.

    Raises:
        ValueError: The budget is no share.
    """
    from thalweg.watching import Watching

    kept = None if folder is None else Path(folder)
    return Watching(budget=budget, stop=stop, folder=kept, writers=writers)


def explain(name: str) -> str:
    """What an obstacle, an optimizer or an intervention is, in Markdown.

    Raises:
        ValueError: Nothing has this name; the message gives the nearest that has one.
    """
    from thalweg.cli.command import UsageError
    from thalweg.cli.explain import explanation

    try:
        return explanation(name)
    except UsageError as error:
        raise ValueError(str(error)) from None


def environment() -> dict[str, str]:
    """Versions, cores and devices by name: what an issue should say about a machine."""
    from thalweg.cli import environment as command

    return command.environment()


def _existing(script: str | PathLike[str]) -> Path:
    """The path of a script that is there."""
    path = Path(fspath(script))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such script")
    return path


def __getattr__(name: str) -> ModuleType:
    """Load a part of the library when it is first named."""
    if name in _PARTS:
        return importlib.import_module(f"thalweg.{name}")
    raise AttributeError(f"module 'thalweg' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names and the parts."""
    return sorted([*__all__, *_PARTS])
