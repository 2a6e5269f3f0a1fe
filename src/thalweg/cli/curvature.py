"""`thalweg curvature`: the curvature of an unedited script's loss at chosen steps."""

import argparse
import re
from pathlib import Path
from typing import Any

from thalweg.cli import targets, values
from thalweg.cli.command import Command, UsageError, add_script, script_of, tell_failure
from thalweg.cli.diagnose import check_html, note_misplaced

ANSWERED, CANNOT, UNANSWERED = 0, 2, 3
DEFAULT_AT = (0, 100, 500)
DEFAULT_PRODUCTS = 400
DEFAULT_BUDGET = 300.0
OPTIONS = {"--at", "--json", "--html", "--products", "--budget", "--seed"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--at",
        type=steps,
        default=DEFAULT_AT,
        metavar="STEP[,STEP...]",
        help="optimizer steps before which to look, from 0 (default: 0,100,500)",
    )
    parser.add_argument("--json", metavar="PATH", help="write what was found as JSON")
    parser.add_argument("--html", metavar="PATH", help="write it as one HTML file with charts")
    parser.add_argument(
        "--products",
        type=values.count,
        default=DEFAULT_PRODUCTS,
        metavar="N",
        help="Hessian products at each step, at the most; one costs about two gradients "
        "(default: 400)",
    )
    parser.add_argument(
        "--budget",
        type=values.duration,
        default=DEFAULT_BUDGET,
        metavar="TIME",
        help="time after which the script is stopped: 90, 90s, 5m or 1h (default: 5m)",
    )
    parser.add_argument(
        "--seed",
        type=values.seed,
        metavar="N",
        help="seed of the run and of the random vectors (default: the script's, and 0)",
    )
    add_script(parser)


def steps(text: str) -> tuple[int, ...]:
    """The numbers in `0,100,500`, ascending, each once."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"\d{1,15}", word) for word in words):
        raise argparse.ArgumentTypeError(
            f"{text!r} must be steps from 0, separated by commas, such as 0,100,500"
        )
    return tuple(sorted({int(word) for word in words}))


def run(options: argparse.Namespace) -> int:
    """Survey, write the files asked for, print the blocks, and say by exit code what is missing."""
    script, arguments = script_of(options)
    targets.check(json=options.json, html=options.html)
    check_html(options.html)
    note_misplaced(script, arguments, OPTIONS)
    data = found(script, arguments, options)
    return CANNOT if data is None else show(data, options.json, options.html)


def found(script: Path, arguments: list[str], options: argparse.Namespace) -> dict[str, Any] | None:
    """The survey as plain data, or None after showing how the script failed by itself."""
    from thalweg.cli.progress import shown

    with shown("Loading PyTorch") as progress:
        from thalweg.survey import ScriptFailed, survey

        try:
            return survey(
                script,
                arguments,
                at=options.at,
                products=options.products,
                seed=options.seed,
                budget=options.budget,
                progress=progress,
            ).as_data()
        except ScriptFailed as error:
            failure = error
        except ValueError as error:
            raise UsageError(str(error)) from error
    tell_failure(script, failure, " before a step that was asked for")
    return None


def show(data: dict[str, Any], json_path: str | None, html_path: str | None) -> int:
    """Write the files, then print the survey and where the files are; the exit code."""
    from rich.console import Console

    from thalweg.cli.curvature_text import render
    from thalweg.report import write_curvature_html, write_json

    writers = (("JSON", write_json, json_path), ("HTML", write_curvature_html, html_path))
    lines, all_well = targets.written("curvature", data, writers)
    console = Console()
    render(data, console)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not all_well:
        return CANNOT
    return ANSWERED if is_complete(data) else UNANSWERED


def is_complete(data: dict[str, Any]) -> bool:
    """Whether every step that was asked for was answered."""
    return not data["missing"] and all("failed" not in step for step in data["steps"])


COMMAND = Command(
    name="curvature",
    summary="say how a script's loss is curved at chosen steps",
    usage="[options] SCRIPT [ARGS ...]",
    description=(
        "Run a training script, unedited, and say at chosen steps what kind of point its\n"
        "parameters are at, which learning rates are optimal and maximal there beside the one in\n"
        "use, and how the eigenvalues of the Hessian are spread. The loss is the step's own, of\n"
        "its minibatch. The script is stopped after the last of the steps.\n\n"
        "Exit code: 0 all steps answered, 2 the command or the script itself fails, 3 some steps\n"
        "could not be answered."
    ),
    example="thalweg curvature --at 0,100,500 --html curvature.html train.py",
    python='thalweg.curvature_of("train.py", at=(0, 100, 500))',
    configure=configure,
    run=run,
    needs=("rich",),
)
