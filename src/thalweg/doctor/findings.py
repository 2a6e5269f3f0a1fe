"""The report of an examination as plain data (schema 1): findings, and what was ruled out."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from thalweg.doctor.confidence import confidence
from thalweg.doctor.examination import Examination
from thalweg.doctor.ranking import Candidate
from thalweg.doctor.runs import Run
from thalweg.doctor.search import Proved, Search
from thalweg.doctor.standing import standing
from thalweg.doctor.verification import Verification


def findings(examined: Examination) -> list[dict[str, Any]]:
    """The proved causes, each with its proof; what else the evidence raised is folded under one."""
    return [
        _finding(examined, search, one) for search in examined.searches for one in search.proved
    ]


def _finding(examined: Examination, search: Search, one: Proved) -> dict[str, Any]:
    candidate, suspicion = one.candidate, one.candidate.suspicion
    named = {other.candidate.suspicion.cause for other in examined.proved}
    others = [
        other
        for other in search.candidates
        if _is_symptom(other) and other.suspicion.cause not in named
    ]
    return {
        "cause": suspicion.cause,
        "confidence": confidence(candidate),
        "summary": suspicion.summary,
        "evidence": dict(suspicion.evidence),
        "trials": [_trial(examined, candidate.run, candidate.share)] if candidate.run else [],
        "remedy": {
            "interventions": [change.as_data() for change in one.remedy],
            "says": " ".join(change.says() for change in one.remedy),
            "edit": "\n".join(line for change in one.remedy if (line := change.edit())),
        },
        "verified": one.checked.as_data(measure_name(examined)),
        "found_with": [change.as_data() for change in one.found_with],
        "symptoms": [_symptom(other) for other in others if search is examined.searches[0]],
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
    return (
        f"{examined.measure[1]} at {examined.measure[0]}" if examined.measure else "training loss"
    )


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
