"""Prune what a script, unedited, has trained, and measure it as the script measures itself.

    found = sparsity("train.py", 0.8)
    found.data["points"][0]["value"]

The script runs twice: once to find where its training is over, once more to be branched there.
Every branch has the whole program's state, prunes the network that it evaluates, and goes on to the
end as the script would; what the script then prints of itself is the value at that sparsity.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg import __version__
from thalweg.pruning.pattern import Pattern
from thalweg.pruning.prune import METHODS, wanted
from thalweg.recorder import Recording
from thalweg.recorder.recording import higher_is_better, name_of_measure
from thalweg.survey.at_the_end import CALL, FOUND, PRUNE, RECORD, SAVED
from thalweg.survey.survey import Progress, Survey, failure
from thalweg.trials import Outcome, Runner

VERSION = 1
GRID = (0.5, 0.7, 0.8, 0.9, 0.95)
DEFAULT_BUDGET = 300.0
BASELINE = "magnitude"
MARGIN = 0.1  # of the budget, kept for the end of the script as it is

Data = dict[str, Any]
Measure = tuple[str, str]


class NothingToPrune(ValueError):
    """The script trains, but nothing that can be pruned; the message says what was found."""


def sparsity(
    script: str | Path,
    share: float | None = None,
    arguments: Sequence[str] = (),
    *,
    method: str | None = None,
    pattern: str | tuple[int, int] = "unstructured",
    save: str | Path | None = None,
    seed: int | None = None,
    budget: float = DEFAULT_BUDGET,
    fork: bool | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Survey:
    """What the network that a script trains is worth at each sparsity.

    Args:
        script: A Python file that trains with PyTorch. It is run as it is, in child processes; what
            it writes goes to scratch folders.
        share: Of zeros that is wanted, in (0, 1), measured beside 0.5, 0.7, 0.8, 0.9 and 0.95; None
            for these alone, or for the sparsity that an n:m pattern has.
        arguments: Its command line.
        method: Of `thalweg.pruning.prune`, measured beside magnitude pruning. None: brain-surgeon
            up to 2,000 parameters, then kronecker up to 4,096 inputs or outputs of a layer, then
            sparse-gpt.
        pattern: "unstructured", "n:m" such as "2:4", or rows and columns of blocks.
        save: Where to keep the parameters of the network pruned to ``share``, as a `state_dict`.
        seed: Take the seed-th other random stream instead of the script's own.
        budget: Seconds that both runs may take together.
        fork: Whether to branch one process, or else to run the script once for each point. None: on
            Linux with a network on the CPU.
        progress: Called as it goes on.

    Raises:
        ScriptFailed: If the script fails by itself.
        NothingToPrune: If it makes no update, or trains no linear layer or convolution.
        ValueError: For arguments out of their domain, or a script that does not exist.
    """
    path, form = Path(script), Pattern.of(pattern)
    asked = sparsities(share, form, save)
    goal = asked[0] if form.sparsity is not None else share
    check(path, method, seed, budget)
    began = time.monotonic()
    points = [
        {"method": one, "sparsity": s, "save": save is not None and (one, s) == (method, goal)}
        for one in dict.fromkeys((method, BASELINE))
        for s in asked
    ]
    hear = progress or (lambda _: None)
    hear(Progress(0, len(points) + 1, "Training as it is"))
    with Runner(path, arguments, jobs=1) as runner:
        runs = Runs(runner, seed or 0, began + budget)
        plain = runs.once("as it is", {"make": RECORD})
        recording = Recording.read(plain.folder)
        updates = counted(plain, recording, budget)
        measure = recording.measure()
        runs.seeds_of = plain.folder
        instrument = {
            "make": PRUNE,
            "updates": updates,
            "call": json.loads((plain.folder / CALL).read_text()),
            "measure": measure,
            "pattern": pattern,
            "fork": can_fork(recording) if fork is None else fork,
            "until": began + (1 - MARGIN) * budget,
        }
        folders = runs.branched if instrument["fork"] else runs.one_by_one
        where = folders(instrument, points, lambda done: hear(pruning(done, len(points))))
        dense = read(where[0])
        check_dense(dense, updates, where[0])
        found = [point(one, given, updates) for one, given in zip(where[1:], points, strict=True)]
        kept = None if save is None else keep(where[1:], points, Path(save))
    return Survey(
        {
            "kind": "pruning",
            "schema": VERSION,
            "thalweg": __version__,
            "script": {
                "path": str(path),
                "arguments": list(arguments),
                "steps": updates,
                "seconds": plain.seconds,
            },
            "device": recording.summary.get("device", "cpu"),
            "pattern": str(form),
            "asked": goal,
            "measure": measure_data(measure),
            "networks": dense["networks"],
            "dense": {"value": dense["value"], "loss": dense["loss"]},
            "points": found,
            "saved": kept,
            "budget": {"seconds": time.monotonic() - began, "limit": budget},
        }
    )


def sparsities(share: float | None, form: Pattern, save: object) -> list[float]:
    """The shares of zeros to measure at, ascending.

    Raises:
        ValueError: one cannot be, or there is none to be kept.
    """
    if form.sparsity is not None:
        return [wanted(share, form)]
    if share is None:
        if save is not None:
            raise ValueError("save: say which sparsity is to be kept, such as 0.8")
        return list(GRID)
    if not 0 < share < 1:
        raise ValueError(f"sparsity={share}: give the share of zeros, between 0 and 1")
    return sorted({*GRID, share})


def check(path: Path, method: str | None, seed: int | None, budget: float) -> None:
    """Raise ValueError for arguments out of their domain."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; give the training script")
    if method is not None and method not in METHODS:
        raise ValueError(f"method={method!r}: choose one of {', '.join(METHODS)}")
    if seed is not None and seed < 0:
        raise ValueError(f"seed={seed}: give 0 or more")
    if not (budget > 0 and math.isfinite(budget)):
        raise ValueError(f"budget={budget}: give a positive number of seconds")


@dataclass
class Runs:
    """Runs of one script on the same random numbers.

    Attributes:
        runner: Of its trials.
        seed: Which stream of random numbers.
        deadline: A value of `time.monotonic()`.
        seeds_of: The first run, whose seeds the others meet again.
    """

    runner: Runner
    seed: int
    deadline: float
    seeds_of: Path | None = None

    def once(
        self, name: str, instrument: Data, hear: Callable[[Any], None] | None = None
    ) -> Outcome:
        """Run the script under an instrument."""
        trial = self.runner.trial(
            name,
            instruments=(instrument,),
            seed_shift=self.seed,
            max_seconds=max(1.0, self.deadline - time.monotonic()),
            seeds_of=self.seeds_of,
        )
        return self.runner.run([trial], hear, self.deadline)[0]

    def branched(
        self, instrument: Data, points: Sequence[Data], tell: Callable[[int], None]
    ) -> list[Path]:
        """The folders of the program as it is and of its branches, all of one run."""

        def hear(_: Any) -> None:
            tell(len(list(self.runner.folder.glob(f"*/*/{FOUND}"))))

        folder = self.once("pruned", instrument | {"points": list(points)}, hear).folder
        return [folder, *(folder / str(number) for number in range(len(points)))]

    def one_by_one(
        self, instrument: Data, points: Sequence[Data], tell: Callable[[int], None]
    ) -> list[Path]:
        """The folders of a run of the program as it is, and of one for each point."""
        folders = [self.once("unpruned", instrument | {"points": []}).folder]
        for done, one in enumerate(points):
            tell(done)
            folders.append(self.once("pruned", instrument | {"points": [one]}).folder / "0")
        return folders


def pruning(done: int, total: int) -> Progress:
    """How far it is."""
    return Progress(min(total, done) + 1, total + 1, "Pruning")


def counted(outcome: Outcome, recording: Recording, budget: float) -> int:
    """The updates that the script makes.

    Raises:
        ScriptFailed: It fails.
        NothingToPrune: It was not over in time, or made none.
    """
    if outcome.ended == "crashed":
        raise failure(outcome)
    if outcome.ended != "finished":
        raise NothingToPrune(
            f"the script did not come to its end ({outcome.reason}); it has to do so twice within "
            f"the budget of {budget:g} s: give more time, or let the script train for less"
        )
    if not recording.steps:
        raise NothingToPrune("the script makes no update, so that there is nothing trained")
    return len(recording.steps)


def can_fork(recording: Recording) -> bool:
    """Whether a running program can be branched: devices other than the CPU cannot be."""
    return sys.platform == "linux" and str(recording.summary.get("device", "cpu")) == "cpu"


def read(folder: Path) -> Data:
    """What was found, empty if nothing was."""
    path = folder / FOUND
    return dict(json.loads(path.read_text())) if path.exists() else {}


def check_dense(dense: Data, updates: int, folder: Path) -> None:
    """Raise NothingToPrune where the second run is no ground for a comparison."""
    if not dense:
        raise NothingToPrune(
            "the script did not come to its end a second time; give it more time by --budget"
        )
    if dense["updates"] != updates:
        raise NothingToPrune(
            f"the script made {updates:,} updates, and {dense['updates']:,} when it was run again "
            "on the same random numbers; it has to train for a fixed number of updates"
        )
    if not dense["networks"]:
        raise NothingToPrune(
            "the script calls no torch.nn.Module that has linear layers or convolutions while it "
            "trains; the weights of these layers are what can be pruned"
        )


def point(folder: Path, given: Data, updates: int) -> Data:
    """One branch as plain data."""
    found = read(folder)
    shown = {"method": found.get("method") or given["method"], "sparsity": given["sparsity"]}
    if not found:
        return shown | {"failed": "the time was over, or the branch was ended from outside"}
    if "failed" in found:
        return shown | {"failed": found["failed"]}
    if found["updates"] > updates:
        return shown | {"failed": "the script went on to train when its network was pruned"}
    keys = ("sparsity", "value", "loss", "layers", "left_out")
    return shown | {key: found[key] for key in keys}


def keep(folders: Sequence[Path], points: Sequence[Data], target: Path) -> str | None:
    """Put the parameters that were asked for where they were asked for; None if there are none."""
    made = [one / SAVED for one, given in zip(folders, points, strict=True) if given["save"]]
    if not made or not made[0].exists():
        return None
    partial = target.with_name(f".{target.name}.part")
    shutil.copyfile(made[0], partial)
    os.replace(partial, target)
    return str(target)


def measure_data(measure: Measure | None) -> Data | None:
    """What the script measures itself by, as plain data."""
    if measure is None:
        return None
    return {
        "name": name_of_measure(measure),
        "kind": measure[1],
        "higher_is_better": higher_is_better(measure[1]),
    }
