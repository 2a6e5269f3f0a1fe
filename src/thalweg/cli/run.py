"""`thalweg run`: a training script under interventions, without an edited line.

Without interventions it is `python SCRIPT` itself: this process becomes it.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from thalweg.cli import values
from thalweg.cli.command import Command, UsageError, add_script, script_of

Intervention = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--apply", metavar="REPORT", help="apply the verified remedies of a report (JSON)")
    add(
        "--optimizer",
        type=values.called,
        metavar="NAME",
        help="answer every step with this optimizer or method, as in adam or lbfgs(memory=20)",
    )
    add(
        "--search",
        type=values.called,
        metavar="NAME",
        help="how far a method goes along its direction, as in hager-zhang (default: what suits)",
    )
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("--lr", type=values.positive, metavar="X", help="use this learning rate")
    rate.add_argument(
        "--lr-factor", type=values.positive, metavar="X", help="multiply every learning rate by X"
    )
    add("--clip", type=values.positive, metavar="X", help="clip the gradient's norm to X")
    add("--standardize-inputs", action="store_true", help="standardize what enters the model")
    add("--clear-stale-gradients", action="store_true", help="forget gradients of earlier steps")
    add("--reinitialize", action="store_true", help="draw the weights anew, by He's scheme")
    add(
        "--intervention",
        action="append",
        default=[],
        metavar="JSON",
        help="any intervention as a report writes it; may be repeated",
    )
    add_script(parser)


def run(options: argparse.Namespace) -> int:
    """Run the script under the interventions that were asked for; the script's exit code."""
    interventions = from_report(options.apply) + from_options(options)
    if not interventions:
        return become(options)
    script, arguments = script_of(options)
    from thalweg.interventions import InterventionError, from_data
    from thalweg.trials.under import run_under

    try:
        for intervention in interventions:
            from_data(intervention)
    except InterventionError as error:
        raise UsageError(str(error)) from None
    return run_under(interventions, script, arguments)


def become(options: argparse.Namespace) -> int:
    """Turn into `python SCRIPT ARGS`."""
    script_of(options)
    words = options.command[1:] if options.command[0] == "--" else options.command
    command = [sys.executable, *words]
    if os.name == "nt":  # there, exec returns to the shell before the script has ended
        return subprocess.run(command, check=False).returncode
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, command)


def from_report(path: str | None) -> list[Intervention]:
    """The interventions of every finding whose remedy held when it was verified."""
    if path is None:
        return []
    from thalweg.report import ReportError, read

    try:
        report = read(path)
    except ReportError as error:
        raise UsageError(f"--apply {error}") from None
    found = [item for finding in report["findings"] for item in verified(finding)]
    if not found:
        print(f"thalweg run: {path} holds no verified remedy to apply", file=sys.stderr)
    return found


def verified(finding: dict[str, Any]) -> list[Intervention]:
    """The interventions of a finding's remedy, if it held."""
    held = (finding.get("verified") or {}).get("held", False)
    remedy = finding.get("remedy") or {}
    return list(remedy.get("interventions", [])) if held else []


def from_options(options: argparse.Namespace) -> list[Intervention]:
    """The interventions that the options ask for, as plain data."""
    asked = [
        *about_steps(options),
        *([{"kind": "clipping", "norm": options.clip}] if options.clip else []),
        *([{"kind": "input-standardization"}] if options.standardize_inputs else []),
        *([{"kind": "clear-stale-gradients"}] if options.clear_stale_gradients else []),
        *([{"kind": "initialization", "scheme": "he"}] if options.reinitialize else []),
    ]
    return asked + [as_intervention(text) for text in options.intervention]


def about_steps(options: argparse.Namespace) -> list[Intervention]:
    """The optimizer and the learning rate; a rate given with an optimizer is that optimizer's."""
    found: list[Intervention] = []
    if options.optimizer:
        found.append(updates_by(options))
    elif options.search:
        raise UsageError("--search needs a method to search for: --optimizer lbfgs --search ...")
    elif options.lr is not None:
        found.append({"kind": "learning-rate", "value": options.lr})
    if options.lr_factor is not None:
        found.append({"kind": "learning-rate", "factor": options.lr_factor})
    return found


def updates_by(options: argparse.Namespace) -> Intervention:
    """The intervention that makes every update by the optimizer or method that was named."""
    from thalweg.interventions import InterventionError, updates_named

    name, settings = options.optimizer
    try:
        kind, name = updates_named(name)
    except InterventionError as error:
        raise UsageError(f"--optimizer: {error}") from None
    given = {"settings": settings} if settings else {}
    if kind == "method":
        return {"kind": kind, "name": name, **given, **search_of(options, name)}
    if options.search:
        raise UsageError(f"--search: {name} makes its step without one; methods such as lbfgs do")
    rate = {} if options.lr is None else {"lr": options.lr}
    return {"kind": kind, "name": name, **rate, **given}


def search_of(options: argparse.Namespace, method: str) -> dict[str, Any]:
    """How far a method is to go, if that was said."""
    idle = {"--lr": options.lr, "--lr-factor": options.lr_factor, "--clip": options.clip}
    for option, value in idle.items():
        if value is not None:
            raise UsageError(
                f"{option}: {method} finds its own step and takes its own gradients; for steps of "
                'a fixed length write --search "fixed(step=0.1)"'
            )
    if options.search is None:
        return {}
    name, settings = options.search
    return {"search": name} | ({"search_settings": settings} if settings else {})


def as_intervention(text: str) -> Intervention:
    """One intervention from its JSON."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--intervention {text}: not JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise UsageError(
            f'--intervention {text}: must be an object with a kind, as in {{"kind": "clipping", '
            '"norm": 1.0}'
        )
    return data


COMMAND = Command(
    name="run",
    summary="run a training script with one or more things changed",
    usage="[options] SCRIPT [ARGS ...]",
    description=(
        "Run a training script, unedited, under interventions: another learning rate, another\n"
        "optimizer, a method that asks for the loss more than once a step (lbfgs, newton-cg,\n"
        "hessian-free ...), or the remedies that a diagnosis verified. Without any, this is\n"
        "exactly `python SCRIPT`. The exit code is the script's."
    ),
    example="thalweg run --optimizer adam --lr 0.001 train.py",
    python=(
        'thalweg.run("train.py", interventions=[{"kind": "optimizer", "name": "adam", '
        '"lr": 0.001}])'
    ),
    configure=configure,
    run=run,
)
