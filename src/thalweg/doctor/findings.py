"""The report of an examination as plain data (schema 1): findings, and what was ruled out."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from thalweg.doctor import holding_out
from thalweg.doctor.confidence import confidence, left_for
from thalweg.doctor.examination import Examination
from thalweg.doctor.patch import patch
from thalweg.doctor.ranking import Candidate
from thalweg.doctor.runs import Run
from thalweg.doctor.search import Proved, Search
from thalweg.doctor.standing import standing
from thalweg.doctor.verification import Verification
from thalweg.obstacles.suspicion import Proof
from thalweg.recorder.recording import name_of_measure

ALTERNATIVE = 0.35  # what a suspicion must be worth to be told as another explanation
MOST_ALTERNATIVES = 2


def findings(examined: Examination) -> list[dict[str, Any]]:
    """The proved causes, each with its proof, and then what else would mend the script as it is.

    What the evidence raised and no change mended is folded under the first cause as a symptom.
    """
    proved = [
        _proved(examined, search, one) for search in examined.searches for one in search.proved
    ]
    others = _alternatives(examined)
    sure = proved[0]["confidence"] if proved else 0.0
    return proved + [_alternative(examined, one, left_for(one, others, sure)) for one in others]


def _alternatives(examined: Examination) -> list[Candidate]:
    """Suspicions whose own change removes most of the same harm, and that nothing else proved."""
    named = {one.candidate.suspicion.cause for one in examined.proved}
    failed = {id(one) for one, _ in examined.failed}
    return [
        one
        for one in examined.candidates
        if named
        and one.worth >= ALTERNATIVE
        and one.suspicion.cause not in named
        and id(one) not in failed
    ][:MOST_ALTERNATIVES]


def _alternative(examined: Examination, one: Candidate, confidence: float) -> dict[str, Any]:
    """A finding that was tried once and not verified."""
    return _finding(examined, one, one.proof, confidence) | {"role": "alternative"}


def _proved(examined: Examination, search: Search, one: Proved) -> dict[str, Any]:
    found = _finding(examined, one.candidate, one.remedy, confidence(one.candidate))
    found |= {"verified": one.checked.as_data(measure_name(examined)) if one.remedy else None}
    found["found_with"] = [change.as_data() for change in one.found_with]
    first = search is examined.searches[0]
    main = examined.seen.main if examined.seen else 0
    if first and one is search.proved[0]:
        named = {other.candidate.suspicion.cause for other in examined.proved}
        named |= {other.suspicion.cause for other in _alternatives(examined)}
        others = [one for one in search.candidates if one.suspicion.cause not in named]
        found["symptoms"] = [_symptom(other) for other in others if _is_symptom(other)]
    elif not first:
        found["baseline"] = search.base.as_data(examined.measure, None, main)
    return found


def _finding(
    examined: Examination, candidate: Candidate, remedy: Proof, sure: float
) -> dict[str, Any]:
    suspicion = candidate.suspicion
    return {
        "role": "cause",
        "cause": suspicion.cause,
        "confidence": sure,
        "summary": suspicion.summary,
        "evidence": dict(suspicion.evidence),
        "trials": [_trial(examined, candidate.run, candidate.share)] if candidate.run else [],
        "remedy": _remedy(examined, remedy) if remedy else None,
        "verified": None,
        "found_with": [],
        "symptoms": [],
    }


def _remedy(examined: Examination, changes: Proof) -> dict[str, Any]:
    return {
        "interventions": [change.as_data() for change in changes],
        "says": " ".join(change.says() for change in changes),
        "edit": "\n".join(line for change in changes if (line := change.edit())),
        "diff": patch(examined.script, examined.arguments, changes),
    }


def _symptom(candidate: Candidate) -> dict[str, Any]:
    suspicion = candidate.suspicion
    return {
        "cause": suspicion.cause,
        "summary": suspicion.summary,
        "evidence": dict(suspicion.evidence),
    }


def suspicions(examined: Examination) -> list[dict[str, Any]]:
    """Every suspicion of the script as it is, strongest first, with what its trials did."""
    rows = sorted(examined.candidates, key=lambda one: -one.suspicion.strength)
    return [
        {
            "cause": one.suspicion.cause,
            "strength": one.suspicion.strength,
            "summary": one.suspicion.summary,
            "tried": one.run is not None,
            "helped": one.helped,
            "share": one.share,
        }
        for one in rows
    ]


def _is_symptom(candidate: Candidate) -> bool:
    """Raised by evidence of its own, or mended in part by its own trial."""
    return candidate.suspicion.strength >= 0.5 or candidate.helped


def ruled_out(examined: Examination) -> list[dict[str, Any]]:
    """Suspicions whose trial did not help, or whose remedy did not hold; no symptoms."""
    failed = {id(one): checked for one, checked in examined.failed}
    named = {id(one.candidate) for one in examined.proved}
    causes = {one.candidate.suspicion.cause for one in examined.proved}
    symptoms = {id(one) for one in examined.candidates if examined.proved and _is_symptom(one)}
    explained = named | symptoms | {id(one) for one in examined.candidates if one.helped}
    return [
        {
            "cause": one.suspicion.cause,
            "why": _why(examined, one, failed.get(id(one))),
            "trial": _trial(examined, one.run, one.share),
        }
        for one in examined.candidates
        if one.run is not None
        and one.suspicion.cause not in causes
        and (id(one) in failed or id(one) not in explained)
    ]


def _why(examined: Examination, candidate: Candidate, checked: Verification | None) -> str:
    if candidate.run is None:
        return "It was not tried."
    if checked is not None:
        return f"{checked.in_numbers(measure_name(examined))}. {checked.says()}"
    if candidate.run.outcome.ended in ("crashed", "killed", "interrupted"):
        return f"The trial ({candidate.run.name}) did not end: {candidate.run.outcome.reason}"
    main = examined.seen.main if examined.seen else 0
    runs = (examined.base or candidate.run, candidate.run)
    before, after = (standing(run.recording, examined.measure, main) for run in runs)
    return f"With {candidate.run.name}: {after.kind} {after}, instead of {before}."


def _trial(examined: Examination, run: Run, share: float) -> dict[str, Any]:
    return run.as_data(examined.measure, share, examined.seen.main if examined.seen else 0)


def measure_name(examined: Examination) -> str:
    """What the runs are compared by."""
    return name_of_measure(examined.measure) if examined.measure else "training loss"


def compared_by(examined: Examination) -> str:
    """What runs are compared by where the script evaluates nothing, and why; else empty."""
    why = examined.without_held_out
    return "" if why is None else holding_out.says(why)


def _strict(data: Any) -> Any:
    """The same data with None for numbers that are not finite: reports are strict JSON."""
    if isinstance(data, Mapping):
        return {key: _strict(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_strict(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def report(examined: Examination) -> dict[str, Any]:
    """The whole report as plain data, schema 1; strict JSON."""
    return dict(_strict(_report(examined)))


def _report(examined: Examination) -> dict[str, Any]:
    verdict, reason = examined.verdict()
    base = examined.base
    main = examined.seen.main if examined.seen else 0
    steps = max((row["step"] + 1 for row in base.recording.steps), default=0) if base else 0
    return {
        "schema": 1,
        "thalweg": version("thalweg"),
        "script": {
            "path": str(examined.script),
            "arguments": list(examined.arguments),
            "steps": steps,
            "seconds": base.outcome.seconds if base else 0.0,
            "finished": bool(base and base.outcome.ended == "finished"),
        },
        "verdict": verdict,
        "reason": reason,
        "compared_by": compared_by(examined),
        "findings": findings(examined),
        "ruled_out": ruled_out(examined),
        "suspicions": suspicions(examined),
        "control": None if examined.control is None else examined.control.as_data(),
        "trials": [
            run.as_data(examined.measure, None, main) for run in examined.bench.runs.values()
        ],
        "baseline": base.as_data(examined.measure, None, main) if base else None,
        "budget": {
            "seconds": time.monotonic() - examined.began,
            "limit": examined.budget,
            "plain_seconds": examined.plain_seconds,
            "trials": examined.bench.planned,
            "interrupted": examined.interrupted,
            "trouble": examined.trouble,
        },
        "environment": {
            "python": platform.python_version(),
            "torch": version("torch"),
            "platform": platform.platform(),
            "device": base.recording.summary.get("device", "cpu") if base else "cpu",
        },
    }
