"""How sure a finding is, from the evidence for it and from what its trial did."""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.doctor.ranking import Candidate


def confidence(candidate: Candidate) -> float:
    """The probability that this is the cause: half from the verified cure, half from its worth."""
    return round(min(0.99, 0.5 + 0.5 * candidate.worth), 2)


def left_for(candidate: Candidate, among: Sequence[Candidate], named: float) -> float:
    """What the named cause's confidence leaves, shared among the alternatives by their worth."""
    total = sum(one.worth for one in among)
    return round((1 - named) * candidate.worth / total, 2) if total else 0.0
