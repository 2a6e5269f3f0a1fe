"""`thalweg prune`: what the network that an unedited script trains is worth at each sparsity."""

import argparse
import re
from pathlib import Path
from typing import Any

from thalweg.cli import targets, values
from thalweg.cli.command import Command, UsageError, add_script, script_of, tell_failure
from thalweg.cli.diagnose import note_misplaced

MEASURED, CANNOT, UNMEASURED = 0, 2, 3
DEFAULT_BUDGET = 300.0
OPTIONS = {"--sparsity", "--method", "--pattern", "--save", "--json", "--budget", "--seed"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--sparsity",
        type=share,
        metavar="SHARE",
        help="share of zeros that is wanted, measured beside 0.5, 0.7, 0.8, 0.9 and 0.95",
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        help="method of `thalweg.pruning.prune`, measured beside magnitude (default: by the "
        "network's size brain-surgeon, kronecker or sparse-gpt)",
    )
    parser.add_argument(
        "--pattern",
        type=pattern,
        default="unstructured",
        metavar="PATTERN",
        help="of the zeros: 2:4 or another n:m, 4x1 or other blocks (default: unstructured)",
    )
    parser.add_argument(
        "--save", metavar="PATH", help="write the pruned network's state_dict at that sparsity"
    )
    parser.add_argument("--json", metavar="PATH", help="write what was found as JSON")
    parser.add_argument(
        "--budget",
        type=values.duration,
        default=DEFAULT_BUDGET,
        metavar="TIME",
        help="time for two runs of the script and the pruning: 90, 90s, 5m or 1h (default: 5m)",
    )
    parser.add_argument(
        "--seed",
        type=values.seed,
        metavar="N",
        help="seed of both runs (default: the script's own random numbers)",
    )
    add_script(parser)


def share(text: str) -> float:
    """A number between 0 and 1, both left out."""
    number = values.as_number(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be a share of zeros between 0 and 1, such as 0.8"
        )
    return number


def pattern(text: str) -> str | tuple[int, int]:
    """`unstructured`, `2:4`, or blocks as in `4x1`."""
    if blocks := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text):
        return int(blocks[1]), int(blocks[2])
    if text == "unstructured" or (
        (kept := re.fullmatch(r"(\d+):(\d+)", text)) and 0 < int(kept[1]) < int(kept[2])
    ):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} must be unstructured, n:m with n below m such as 2:4, or blocks such as 4x1"
    )


def run(options: argparse.Namespace) -> int:
    """Prune, write the files asked for, print the table, and say by exit code what is missing."""
    script, arguments = script_of(options)
    targets.check(json=options.json, save=options.save)
    note_misplaced(script, arguments, OPTIONS)
    data = found(script, arguments, options)
    return CANNOT if data is None else show(data, options.json)


def found(script: Path, arguments: list[str], options: argparse.Namespace) -> dict[str, Any] | None:
    """What was found as plain data, or None after showing how the script failed by itself."""
    from thalweg.cli.progress import shown

    with shown("Loading PyTorch") as progress:
        from thalweg.survey import ScriptFailed, sparsity

        try:
            return sparsity(
                script,
                options.sparsity,
                arguments,
                method=options.method,
                pattern=options.pattern,
                save=options.save,
                seed=options.seed,
                budget=options.budget,
                progress=progress,
            ).as_data()
        except ScriptFailed as error:
            failure = error
        except ValueError as error:
            raise UsageError(str(error)) from error
    tell_failure(script, failure, ", so there is no network to prune")
    return None


def show(data: dict[str, Any], json_path: str | None) -> int:
    """Write the file, then print the table and where the files are; the exit code."""
    from rich.console import Console

    from thalweg.cli.prune_text import render
    from thalweg.report import write_json

    lines, all_well = targets.written("prune", data, (("JSON", write_json, json_path),))
    console = Console()
    render(data, console)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not all_well:
        return CANNOT
    return UNMEASURED if any("failed" in one for one in data["points"]) else MEASURED


COMMAND = Command(
    name="prune",
    summary="say what a script's network is worth at each sparsity",
    usage="[options] SCRIPT [ARGS ...]",
    description=(
        "Run a training script, unedited, and when it has trained its network, prune the\n"
        "network and let the script go on: what it then measures of itself is the value at that\n"
        "sparsity. The script runs twice; its files are left as they are.\n\n"
        "Exit code: 0 every sparsity measured, 2 the command or the script itself fails, 3 some\n"
        "could not be measured."
    ),
    example="thalweg prune --sparsity 0.8 --save sparse.pt train.py",
    python='thalweg.sparsity_of("train.py", 0.8)',
    configure=configure,
    run=run,
    needs=("rich",),
)
