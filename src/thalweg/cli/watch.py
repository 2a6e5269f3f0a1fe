"""`thalweg watch`: a training script as it is, watched from its beginning to its end."""

import argparse
from typing import Any

from thalweg.cli import targets, values
from thalweg.cli.command import Command, UsageError, add_script, script_of
from thalweg.cli.diagnose import check_html, note_misplaced

OPTIONS = {"--json", "--html", "--budget", "--stop", "--folder", "--to"}
WRITERS = ("tensorboard", "wandb", "mlflow", "trackio")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--json", metavar="PATH", help="write the report as JSON (schema 1)")
    add("--html", metavar="PATH", help="write the report as one HTML file")
    add(
        "--budget",
        type=values.positive,
        default=0.05,
        metavar="SHARE",
        help="share of the run's time that watching may take (default: 0.05)",
    )
    add("--stop", action="store_true", help="stop the script when something breaks")
    add("--folder", metavar="PATH", help="keep the recording and the last good state there")
    add(
        "--to",
        action="append",
        default=[],
        choices=WRITERS,
        metavar="TRACKER",
        help=f"keep what is seen in a run of {', '.join(WRITERS)} as well",
    )
    add_script(parser)


def run(options: argparse.Namespace) -> int:
    """Run the script, report on standard error, and return the script's exit code."""
    script, arguments = script_of(options)
    targets.check(json=options.json, html=options.html)
    check_html(options.html)
    note_misplaced(script, arguments, OPTIONS)
    from thalweg.integrations import writer
    from thalweg.trials import execute
    from thalweg.watching import Watching

    try:
        watching = Watching(
            budget=options.budget,
            stop=options.stop,
            folder=options.folder,
            script=(str(script), arguments),
            writers=[writer(name) for name in dict.fromkeys(options.to)],
        )
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from None
    with watching:
        code = execute(script, arguments, watching.failed)
    show(watching.data, options)
    return code


def show(data: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the files, and print the report where it does not mix with the script's output."""
    from rich.console import Console

    from thalweg.report import render_text, write_html, write_json

    writers = (("JSON report", write_json, options.json), ("HTML report", write_html, options.html))
    lines, _ = targets.written("watch", data, writers)
    console = Console(stderr=True)
    render_text(data, console)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


COMMAND = Command(
    name="watch",
    summary="run a training script and say what broke or is suspected",
    usage="[options] SCRIPT [ARGS ...]",
    description=(
        "Run a training script as it is, for real, and look at a step in full every now and then,\n"
        "as often as the budget allows. At its end, or when a loss or gradient is no longer\n"
        "finite, say on standard error what was seen. Suspicions are not proved: that is what\n"
        "`thalweg diagnose` is for. The exit code is the script's."
    ),
    example="thalweg watch --html report.html train.py",
    python="with thalweg.watch() as watching: ...",
    configure=configure,
    run=run,
    needs=("rich",),
)
