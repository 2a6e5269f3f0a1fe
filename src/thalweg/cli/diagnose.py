"""`thalweg diagnose`: what holds a training script back, proved, with the remedy."""

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from thalweg.cli import targets, values
from thalweg.cli.catalogue import canonical, codes
from thalweg.cli.command import Command, UsageError, add_script, hint, script_of, tell_failure

EXIT_CODES = {"healthy": 0, "obstructed": 1, "unknown": 3}
CANNOT = 2
DEFAULT_BUDGET = 300.0
TARGETS = ("json", "html")
OPTIONS = {"--json", "--html", "--budget", "--steps", "--seed", "--only"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", metavar="PATH", help="write the findings as JSON (schema 1)")
    parser.add_argument("--html", metavar="PATH", help="write the report as one HTML file")
    parser.add_argument(
        "--budget",
        type=values.duration,
        default=DEFAULT_BUDGET,
        metavar="TIME",
        help="time that the diagnosis may take: 90, 90s, 5m or 1h (default: 5m)",
    )
    parser.add_argument(
        "--steps",
        type=values.count,
        metavar="N",
        help="optimizer steps after which every run is stopped (default: as many as fit)",
    )
    parser.add_argument(
        "--seed",
        type=values.seed,
        metavar="N",
        help="seed of the first run (default: the script's)",
    )
    parser.add_argument(
        "--only",
        type=values.names,
        default=(),
        metavar="CODE[,CODE...]",
        help="look for these obstacles alone; `thalweg explain` lists them",
    )
    add_script(parser)


def run(options: argparse.Namespace) -> int:
    """Diagnose, write the files asked for, print the report, and say the verdict by exit code."""
    script, arguments = script_of(options)
    only = known_codes(options.only)
    targets.check(json=options.json, html=options.html)
    check_html(options.html)
    note_misplaced(script, arguments, OPTIONS)
    data = findings(script, arguments, options, only)
    return CANNOT if data is None else show(data, options.json, options.html)


def known_codes(asked: Sequence[str]) -> tuple[str, ...]:
    """The codes of `--only`, each checked against the obstacles that there are."""
    known = codes()
    for code in asked:
        if canonical(code) not in known:
            raise UsageError(
                f"--only {code}: no such obstacle{hint(canonical(code), known)} "
                "`thalweg explain` lists them all"
            )
    return tuple(canonical(code) for code in asked)


def check_html(target: str | None) -> None:
    """Refuse `--html` where the packages that draw the report are missing."""
    from importlib.util import find_spec

    if target and not all(find_spec(name) for name in ("altair", "jinja2", "vl_convert")):
        raise UsageError("--html needs more packages: pip install 'thalweg[report]'")


def note_misplaced(script: Path, arguments: Sequence[str], ours: Collection[str]) -> None:
    """Say that an option of `ours` after the script went to the script."""
    for word in arguments:
        name = word.partition("=")[0]
        if name in ours:
            print(
                f"thalweg: note: {name} stands after {script}, so {script.name} receives it; "
                f"an option of thalweg stands before the script",
                file=sys.stderr,
            )


def findings(
    script: Path, arguments: list[str], options: argparse.Namespace, only: tuple[str, ...]
) -> dict[str, Any] | None:
    """The diagnosis as plain data, or None after showing how the script failed by itself."""
    from thalweg.cli.progress import shown

    with shown("Loading PyTorch") as progress:
        from thalweg.doctor import ScriptFailed, diagnose

        try:
            return diagnose(
                script,
                arguments,
                budget=options.budget,
                steps=options.steps,
                seed=options.seed,
                only=only,
                progress=progress,
            ).as_data()
        except ScriptFailed as error:
            failure = error
        except ValueError as error:
            raise UsageError(str(error)) from error
    tell_failure(script, failure, ", so there is nothing to diagnose yet")
    return None


def show(data: dict[str, Any], json_path: str | None, html_path: str | None) -> int:
    """Write the files, then print the report and where the files are; the exit code.

    A file that cannot be written costs an error line and nothing else: the report is printed.
    """
    from rich.console import Console

    from thalweg.report import render_text, write_html, write_json

    writers = (("JSON report", write_json, json_path), ("HTML report", write_html, html_path))
    lines, all_well = targets.written("diagnose", data, writers)
    console = Console()
    render_text(data, console)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return EXIT_CODES[data["verdict"]] if all_well else CANNOT


COMMAND = Command(
    name="diagnose",
    summary="find what holds a training script back, and prove it",
    usage="[options] SCRIPT [ARGS ...]",
    description=(
        "Run a training script, unedited, several times with one thing changed at a time, and say\n"
        "what holds its training back: the cause that, removed, removes the harm.\n\n"
        "Exit code: 0 healthy, 1 obstructed, 2 the command or the script itself fails, 3 unknown."
    ),
    example="thalweg diagnose --budget 2m --html report.html train.py",
    python='thalweg.diagnose("train.py", budget=120)',
    configure=configure,
    run=run,
    needs=("rich",),
)
