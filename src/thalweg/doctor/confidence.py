"""How sure a finding is, from the evidence for it and from what its trial did."""

from __future__ import annotations

from thalweg.doctor.ranking import Candidate


def confidence(candidate: Candidate) -> float:
    """The probability that this is the cause: half from the verified cure, half from its worth."""
    return round(min(0.99, 0.5 + 0.5 * candidate.worth), 2)
