"""Findings and what was ruled out, as a report carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.doctor.ranking import Candidate
from thalweg.doctor.runs import Run
from thalweg.doctor.verification import Verification

if TYPE_CHECKING:
    from thalweg.doctor.diagnosis import Doctor


def findings(doctor: Doctor) -> list[dict[str, Any]]:
    """The proved causes, each with its proof; what else the evidence raised is folded under it."""
    return [_finding(doctor, candidate, checked) for candidate, checked in doctor.proved]


def _finding(doctor: Doctor, candidate: Candidate, checked: Verification) -> dict[str, Any]:
    suspicion = candidate.suspicion
    changed = candidate.run.interventions if candidate.run else ()
    others = [one for one in doctor.candidates if one is not candidate and _is_symptom(one)]
    return {
        "cause": suspicion.cause,
        "confidence": round(min(0.99, 0.5 + 0.5 * candidate.worth), 2),
        "summary": suspicion.summary,
        "evidence": dict(suspicion.evidence),
        "trials": [_trial(doctor, candidate.run, candidate.share)] if candidate.run else [],
        "remedy": {
            "interventions": [one.as_data() for one in changed],
            "says": " ".join(one.says() for one in changed),
            "edit": "\n".join(line for one in changed if (line := one.edit())),
        },
        "verified": checked.as_data(measure_name(doctor)),
        "symptoms": [
            {
                "cause": one.suspicion.cause,
                "summary": one.suspicion.summary,
                "evidence": dict(one.suspicion.evidence),
            }
            for one in others
        ],
    }


def _is_symptom(candidate: Candidate) -> bool:
    """Raised by evidence of its own, or mended in part by its own trial."""
    return candidate.suspicion.strength >= 0.5 or candidate.helped


def ruled_out(doctor: Doctor) -> list[dict[str, Any]]:
    """Suspicions whose trial did not help, or whose remedy did not hold."""
    failed = {id(one): checked for one, checked in doctor.failed}
    named = {id(one) for one, _ in doctor.proved}
    return [
        {
            "cause": one.suspicion.cause,
            "why": _why(doctor, one, failed.get(id(one))),
            "trial": _trial(doctor, one.run, one.share),
        }
        for one in doctor.candidates
        if one.run is not None and id(one) not in named and (not one.helped or id(one) in failed)
    ]


def _why(doctor: Doctor, candidate: Candidate, checked: Verification | None) -> str:
    assert candidate.run is not None  # noqa: S101  (narrowing; ruled_out lists only those with a run)
    if checked is not None:
        return f"With {candidate.run.name}: {checked.says(measure_name(doctor))}"
    if candidate.run.outcome.ended in ("crashed", "killed", "interrupted"):
        return f"The trial ({candidate.run.name}) did not end: {candidate.run.outcome.reason}"
    return f"{candidate.run.name[:1].upper()}{candidate.run.name[1:]} does not remove the harm."


def _trial(doctor: Doctor, run: Run, share: float) -> dict[str, Any]:
    return run.as_data(doctor.measure, share, doctor.seen.main if doctor.seen else 0)


def measure_name(doctor: Doctor) -> str:
    """What the runs are compared by."""
    return f"{doctor.measure[1]} at {doctor.measure[0]}" if doctor.measure else "training loss"
