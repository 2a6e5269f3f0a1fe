"""`thalweg run`: the script in this process, for real, under interventions.

Unlike a trial it is not sandboxed: its files are written, its output is its own, its exit code is
returned.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.trials.script import execute


def run_under(
    interventions: Sequence[Mapping[str, Any]], script: Path, arguments: Sequence[str]
) -> int:
    """Run the script with these things changed.

    Args:
        interventions: As plain data, as a report's remedy holds them.
        script: The training script, unedited.
        arguments: Its own command line.

    Returns:
        The script's exit code.

    Raises:
        InterventionError: An intervention is described in a way that it cannot be made of.
    """
    from thalweg.interventions import from_data  # imports PyTorch, which a mere trial does not need
    from thalweg.recorder import Session

    made = [from_data(one) for one in interventions]
    with Session(list(made)):
        code = execute(script, list(arguments))
    for line in filter(None, (one.told() for one in made)):
        print(f"thalweg run: {line}", file=sys.stderr)
    return code
