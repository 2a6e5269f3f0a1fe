"""What the evidence of a watched run raises: the judgements of a diagnosis, and no trials.

Nothing is proved here. A judgement that only a successful trial would confirm (its strength is
below a half) is left out, and so is what sparse steps cannot tell: batches that were seen are not
consecutive ones, so that the order of the data is not judged.
"""

from __future__ import annotations

from dataclasses import replace

from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.registry import OBSTACLES
from thalweg.obstacles.suspicion import Obstacle, Suspicion
from thalweg.recorder import Recording

WORTH_SAYING = 0.5
NEEDS_EVERY_BATCH = frozenset({"unshuffled-data"})


def suspicions(recording: Recording) -> tuple[list[Suspicion], list[str]]:
    """The suspicions, strongest first, and which judgements failed and how."""
    if not recording.steps:
        return [], []
    seen = Evidence(replace(recording))
    found: list[Suspicion] = []
    failed: list[str] = []
    for code, obstacle in OBSTACLES.items():
        if code not in NEEDS_EVERY_BATCH:
            try:
                found += _worth_saying(obstacle, seen)
            except Exception as error:  # one judgement must not cost the others
                failed.append(f"{code}: {type(error).__name__}: {error}")
    return sorted(found, key=lambda one: -one.strength), failed


def _worth_saying(obstacle: Obstacle, seen: Evidence) -> list[Suspicion]:
    one = obstacle.judge(seen)
    return [one] if one is not None and one.strength >= WORTH_SAYING else []
