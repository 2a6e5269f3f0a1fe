"""The answers as plain data: what a report holds of them. Numbers that are not finite are None."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.curvature import CriticalPoint, LearningRate, Rate, Sharpness, Spectrum
from thalweg.curvature.optimizers import InUse
from thalweg.linalg import Count, Extremes
from thalweg.linalg.gain import GainConditioning
from thalweg.survey.wording import rate_says

Data = dict[str, Any]


def finite(value: float) -> float | None:
    """A number that JSON can hold; None for infinity and for no number."""
    return float(value) if math.isfinite(value) else None


def of_ends(extremes: Extremes) -> Data:
    """The ends of a spectrum."""
    return {
        "largest": {"value": extremes.largest.value, "error": extremes.largest.error},
        "smallest": {"value": extremes.smallest.value, "error": extremes.smallest.error},
        "upper": finite(extremes.upper),
        "lower": finite(extremes.lower),
        "rounding": finite(extremes.rounding),
        "converged": extremes.converged,
    }


def of_point(found: CriticalPoint) -> Data:
    """The kind of point, with its certificate where there is one."""
    escape = found.escape
    return {
        "kind": found.kind,
        "why": found.why,
        "distance": finite(found.distance),
        "index": found.index,
        "escape": None
        if escape is None
        else {
            "curvature": escape.curvature,
            "certificate": escape.certificate,
            "step": escape.step,
            "gain": finite(escape.gain),
        },
        "ends": of_ends(found.extremes),
    }


def of_rate(found: LearningRate, own: InUse) -> Data:
    """The rates, beside the one in use; an infinite rate is None: nothing is curved upwards."""
    share = finite(own.rate / found.maximal.value)
    return {
        "method": found.method.name,
        "momentum": found.method.momentum,
        "preconditioned": own.diagonal is not None,
        "optimal": of_interval(found.optimal),
        "maximal": of_interval(found.maximal),
        "along_gradient": finite(found.along_gradient),
        "largest": found.extremes.largest.value,
        "in_use": finite(own.rate),
        "share": share,
        "says": "" if share is None else rate_says(share),
        "check": found.check,
        "confirmed": found.confirmed,
    }


def of_interval(rate: Rate) -> Data:
    """A rate with its interval."""
    return {"value": finite(rate.value), "low": finite(rate.low), "high": finite(rate.high)}


def of_sharpness(found: Sharpness) -> Data:
    """Sharpness along the step, and in all directions."""
    trace = found.trace
    return {
        "largest": {"value": found.largest, "error": found.largest_error},
        "critical": finite(found.critical),
        "critical_learning_rate": finite(found.critical_learning_rate),
        "trace": {
            "value": trace.value,
            "low": trace.lower,
            "high": trace.upper,
            "confidence": trace.confidence,
        },
    }


def of_spectrum(found: Spectrum) -> Data:
    """The whole spectrum, its density as a histogram."""
    bins, signs, condition = found.histogram(), found.inertia, found.condition
    return {
        "size": found.size,
        "exact": found.exact,
        "ends": of_ends(found.extremes),
        "negative": of_count(signs.negative),
        "zero": of_count(signs.zero),
        "positive": of_count(signs.positive),
        "threshold": signs.threshold,
        "condition": {
            "number": finite(condition.number),
            "exact": condition.exact,
            "threshold": condition.threshold,
            "effective_rank": finite(condition.effective_rank),
        },
        "gain": None if found.gain is None else of_gain(found.gain),
        "edges": list(bins.edges),
        "counts": list(bins.counts),
        "outliers": [{"value": value, "error": error} for value, error in bins.outliers],
    }


def best_ends(answers: Sequence[Data], rounding: float = 0.0) -> Data:
    """Of the ends that several answers have found, those with the smallest error.

    Args:
        answers: with an end each, or with `ends`.
        rounding: a share of the largest eigenvalue by absolute value, added to the errors.
    """
    found = [one.get("ends", one) for one in answers]
    ends = {
        end: min((one[end] for one in found if end in one), key=error, default=None)
        for end in ("largest", "smallest")
    }
    size = max((abs(one["value"]) for one in ends.values() if one), default=0.0)
    return {
        end: one and {"value": one["value"], "error": one["error"] + rounding * size}
        for end, one in ends.items()
    }


def error(end: Data) -> float:
    """Of an end."""
    return float(end["error"])


def of_gain(gain: GainConditioning) -> Data:
    """The conditioning weighted by what is still to be gained."""
    return {
        "number": finite(gain.number),
        "total": finite(gain.total),
        "unresolved": finite(gain.unresolved),
        "error": finite(gain.error),
    }


def of_count(count: Count) -> Data:
    """How many eigenvalues: the interval, and what is proved."""
    return {"low": count.low, "high": count.high, "at_least": count.at_least}
