"""Check that the clinic's cases are what they say: each fault real, each healthy script healthy.

    python clinic/gate.py [FOLDER ...] [--only NAME ...] [--seeds 3] [--alternatives [CHANGE ...]]

A faulty case passes when its mended script is better with every seed, beyond two standard errors of
the mean difference, and by a margin that somebody would care about: 0.03 of a metric where higher
is better, a tenth of the error elsewhere. A healthy case passes when none of the usual changes
improves it so. With `--alternatives` the faulty scripts run under generic changes too, and the
share of the gap to the mended script that each change closes is printed: what the lists of accepted
causes were decided by. The exit status is 1 if a case fails.
"""

import argparse
import ast
import contextlib
import importlib
import json
import math
import multiprocessing
import os
import re
import resource
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from causes import CAUSES
from changes import CHANGES, play
from rule import Run, is_better, share

CLINIC = Path(__file__).resolve().parent
HALVES = (CLINIC / "development", CLINIC / "held_out")
TO_HEALTHY = ("rate x0.1", "rate x10", "adam 1e-3", "standardized")
PROCESSOR_LIMIT, LONGEST_WAIT = 60, 900.0  # seconds: a busy machine must not change a verdict


@dataclass(frozen=True)
class Case:
    """A folder of the clinic."""

    folder: Path
    higher_is_better: bool

    @property
    def healthy(self) -> bool:
        """Whether there is no fault to find."""
        return (self.folder / "healthy.py").exists()

    @property
    def script(self) -> Path:
        """The script that is judged."""
        return self.folder / ("healthy.py" if self.healthy else "faulty.py")

    @property
    def scripts(self) -> list[Path]:
        """Every script of the case."""
        return sorted(self.folder.glob("*.py"))


@dataclass
class Verdict:
    """The metrics of a case, per seed, and whether it passes."""

    case: Case
    plain: list[Run]
    mended: list[Run] = field(default_factory=list)
    changed: dict[str, list[Run]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)


def read(folder: Path) -> Case:
    """The case in a folder."""
    about = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    for code in set(about["accept"]) - set(CAUSES):
        raise ValueError(f"{folder.name}/case.json: {code!r} is no cause of causes.py")
    return Case(folder, bool(about["higher_is_better"]))


def find(folders: Sequence[Path], only: Sequence[str] = ()) -> list[Case]:
    """All cases in the folders, or those named."""
    found = [path.parent for folder in folders for path in sorted(folder.glob("*/case.json"))]
    return [read(folder) for folder in found if not only or folder.name in only]


def imported(script: Path) -> Iterator[str]:
    """Names of the modules that a script imports."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def warm_up(scripts: Iterable[Path]) -> None:
    """Import once what the scripts import, so that each forked run starts at once."""
    torch.set_num_threads(1)
    for name in {name for script in scripts for name in imported(script)}:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    weight = torch.nn.Parameter(torch.zeros(1))  # the first step imports more
    weight.sum().backward()  # type: ignore[no-untyped-call]
    torch.optim.Adam([weight]).step()


def metric(printed: str) -> float:
    """The number after `metric=` on the last line; nan where there is none."""
    found = re.fullmatch(r"metric=(\S+)", printed.strip().rpartition("\n")[2])
    return float(found[1]) if found else math.nan


def processor_seconds() -> float:
    """Processor time of this process and of those it waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def play_aside(script: Path, seed: int, change: str, output: Path) -> None:
    """Play a script in this (forked) process, its output in a file and its seconds in another."""
    os.environ["SEED"] = str(seed)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_LIMIT, PROCESSOR_LIMIT))
    with output.open("w") as file, open(os.devnull, "w") as nowhere:
        os.dup2(file.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        begun = processor_seconds()
        try:
            play(script, change)
        finally:
            sys.stdout.flush()
            output.with_suffix(".seconds").write_text(str(processor_seconds() - begun))


def run(script: Path, seed: int, change: str = "") -> Run:
    """Run a script in a process of its own; one that fails or hangs has the metric nan."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=play_aside, args=(script, seed, change, output))
        process.start()
        process.join(LONGEST_WAIT)
        if process.is_alive():
            process.kill()
            process.join()
            return Run(math.nan, math.nan)
        seconds = output.with_suffix(".seconds")
        printed = output.read_text(errors="replace") if process.exitcode == 0 else ""
        return Run(metric(printed), float(seconds.read_text()) if seconds.exists() else math.nan)


def runs(script: Path, seeds: int, change: str = "") -> list[Run]:
    """One run for each seed."""
    return [run(script, seed, change) for seed in range(seeds)]


def is_finite(measured: Sequence[Run]) -> bool:
    """Whether every run gave a finite metric."""
    return all(math.isfinite(one.metric) for one in measured)


def examine_healthy(case: Case, seeds: int) -> Verdict:
    """A healthy script must be finite, and none of the usual changes may improve it."""
    verdict = Verdict(case, runs(case.script, seeds))
    verdict.changed = {change: runs(case.script, seeds, change) for change in TO_HEALTHY}
    for change, other in verdict.changed.items():
        if is_better(verdict.plain, other, case.higher_is_better):
            verdict.reasons.append(f"better with {change}")
    if not is_finite(verdict.plain):
        verdict.reasons.append("no finite metric")
    return verdict


def examine_faulty(case: Case, seeds: int, changes: Sequence[str]) -> Verdict:
    """The mended script must be finite and better; the changes are only measured."""
    verdict = Verdict(case, runs(case.script, seeds), runs(case.folder / "fixed.py", seeds))
    verdict.changed = {change: runs(case.script, seeds, change) for change in changes}
    if not is_better(verdict.plain, verdict.mended, case.higher_is_better):
        verdict.reasons.append("the mended script is not better beyond chance and margin")
    if not is_finite(verdict.mended):
        verdict.reasons.append("the mended script has no finite metric")
    return verdict


def examine(case: Case, seeds: int, changes: Sequence[str] = ()) -> Verdict:
    """Run a case and judge it by the rule."""
    return examine_healthy(case, seeds) if case.healthy else examine_faulty(case, seeds, changes)


def effect(verdict: Verdict, other: Sequence[Run]) -> float:
    """What a change does: the mean share of the gap it closes; of a healthy script, its metric."""
    if verdict.case.healthy:
        return statistics.fmean(one.metric for one in other)
    seeds = zip(verdict.plain, verdict.mended, other, strict=True)
    return statistics.fmean(share(*seed, verdict.case.higher_is_better) for seed in seeds)


def metrics_of(measured: Sequence[Run]) -> str:
    """The metrics of the seeds in a row."""
    return " / ".join(f"{one.metric:.4g}" for one in measured)


def row(verdict: Verdict) -> str:
    """A case's line of the table: verdict, metrics per seed, seconds, and changes below it."""
    slowest = max(one.seconds for one in verdict.plain + verdict.mended)
    metrics = metrics_of(verdict.plain) + (
        f" -> {metrics_of(verdict.mended)}" if verdict.mended else ""
    )
    mark = "FAIL" if verdict.reasons else "ok"
    lines = [f"{mark:4} {verdict.case.folder.name:54} {slowest:4.1f} s  {metrics}"]
    effects = [f"{name} {effect(verdict, other):.3g}" for name, other in verdict.changed.items()]
    lines += [f"       {', '.join(effects)}"] * bool(effects)
    return "\n".join(lines + [f"       {reason}" for reason in verdict.reasons])


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, default=HALVES, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--alternatives", nargs="*", choices=CHANGES, metavar="CHANGE")
    chosen = parser.parse_args(words)
    if chosen.seeds < 1:
        parser.error(f"--seeds {chosen.seeds}: at least one seed is needed")
    return chosen


def main(words: Sequence[str] | None = None) -> int:
    """Run the gate; the exit status."""
    chosen = arguments(words)
    changes = () if chosen.alternatives is None else chosen.alternatives or CHANGES
    cases = find(chosen.folders, chosen.only)
    if missing := set(chosen.only) - {case.folder.name for case in cases}:
        print(f"No such case: {', '.join(sorted(missing))}", file=sys.stderr)
        return 2
    warm_up(script for case in cases for script in case.scripts)
    failed = 0
    for case in cases:
        verdict = examine(case, chosen.seeds, changes)
        failed += bool(verdict.reasons)
        print(row(verdict), flush=True)
    print(f"{len(cases) - failed} of {len(cases)} pass")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
