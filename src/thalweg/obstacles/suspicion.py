"""What an obstacle's judgement gives: a suspicion, with its evidence and what would prove it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from thalweg.interventions import Intervention
from thalweg.obstacles.evidence import Evidence

Proof = tuple[Intervention, ...]


def shown(
    value: Any, says: str, unit: str = "", limit: float | None = None, error: float | None = None
) -> dict[str, Any]:
    """One piece of evidence: a value with its unit, its limit, its error and what it says."""
    return {"value": value, "unit": unit, "limit": limit, "error": error, "says": says}


def told(value: float, digits: int = 3) -> str:
    """A number as a person writes it: 6,560 and 0.042, and 3e-9 only where it must be."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if not 1e-4 <= abs(value) < 1e7:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        shown_mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{shown_mantissa}e{int(exponent)}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{round(value, places):,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True)
class Suspicion:
    """A cause that the evidence raises.

    Attributes:
        cause: Its code.
        strength: How much the evidence alone speaks for it, from 0 to 1: above 0.9 where what was
            seen is the fault itself, about 0.3 where nothing but a successful trial would name it.
        summary: One sentence for a person.
        evidence: Name to value, unit, limit, error and what it says.
        proofs: Alternatives; each is what one trial changes. The cause is proved if one of them
            removes the harm.
        fits: Whether training must fit better for the proof to count. A smaller rate that fits
            worse and generalizes better is early stopping, not a cure of overshooting.
        unless: Changes that would explain it away: if one of them removes most of the harm, the
            suspicion falls. (No rate mends ill-conditioning.)
        unless_better: Changes that explain it away only if they leave materially less of the harm
            than its own best proof. (A smaller rate calms noise, too; one that does more than
            larger batches and annealing was the better half of the cure.)
        controls: Changes that do harm unless the suspicion is right: a run that is no worse under
            one of them proves it. (Nothing is lost by permuting targets that tell nothing.)
    """

    cause: str
    strength: float
    summary: str
    evidence: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    proofs: Sequence[Proof] = ()
    fits: bool = True
    unless: Sequence[Proof] = ()
    unless_better: Sequence[Proof] = ()
    controls: Sequence[Proof] = ()


class Obstacle(Protocol):
    """A module of this folder."""

    CODE: str

    def judge(self, seen: Evidence) -> Suspicion | None:
        """The suspicion that this evidence raises, if any."""
