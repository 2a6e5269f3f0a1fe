"""Curvature differs by orders of magnitude between directions, so no single rate suits all.

What it is
    Plain descent needs a rate below 2/lambda_max, and then a direction of curvature lambda takes
    about lambda_max/lambda steps. With a condition number of a million the flat directions never
    move.

How it is measured
    The learning rate times the largest eigenvalue that the optimizer sees, over its own limit of
    stability, says whether the rate can be raised (near 1 it cannot). The conditioning of the
    Hessian weighted by what is still to be gained: a flat direction without gain slows nothing
    down. The covariance of what enters says how far the curvature of a first layer is spread. That
    a larger rate does not help while rescaling or an adaptive method does is the rest.

When not to trust it
    The extreme eigenvalues are those of one batch. An adaptive method can help for other reasons
    (schedule, scale of the gradient); the suspicion is weak without a rate near its limit.

How it is proved
    Inputs decorrelated, much momentum, or an adaptive method at its usual settings, remove the harm
    while no multiple of the rate does.

References
    LeCun et al., Efficient BackProp (1998), section 5; Goodfellow et al. (2016), section 8.2.1;
    Cohen et al. (2021, 2022), arXiv 2103.00065 and 2207.14484, on the limits of stability.
"""

from __future__ import annotations

import math

import numpy as np

from thalweg.interventions import (
    InputStandardization,
    LearningRate,
    OptimizerSetting,
    OptimizerSwap,
)
from thalweg.interventions.input_standardization import of_moments
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told

CODE = "ill-conditioning"
WIDE = 1e3
# Nesterov's form is stable below (2 + 2b) / (1 + 2b) over the curvature, which is less than plain
# descent's 2; the heavy ball below 2 + 2b, which is more.
NESTEROV = 0.66  # of the largest rate that is stable without momentum, at b = 0.99
GAIN, SURE = 100.0, 0.2  # steps that the typical gain takes; share of it that may be unresolved


def judge(seen: Evidence) -> Suspicion | None:
    """A candidate for plain descent; strong with a wide covariance and a rate near its limit."""
    if not seen.samples:
        return None
    covariance = _covariance(seen)
    reach = _reach(seen)
    plain = seen.optimizer.get("kind", "by hand") in ("SGD", "by hand")
    if not plain and covariance < WIDE:
        return None
    gain = _gain(seen)
    strength = 0.35 + 0.25 * (covariance >= WIDE) + 0.15 * (0.2 <= reach <= 1.5 or gain >= GAIN)
    proofs: list[Proof] = []
    if seen.recording.moments and covariance >= WIDE:
        proofs.append((InputStandardization(of_moments(seen.recording.moments, decorrelate=True)),))
    if plain and seen.optimizer:
        proofs += [(OptimizerSwap("adam", 1e-2),), (OptimizerSwap("adam", 1e-3),)]
        if not seen.setting("momentum", 0.0):  # 0.99 is Polyak's for a condition number of 4e4
            nesterov = {"nesterov": True} if reach <= NESTEROV else {}
            proofs.append((OptimizerSetting({"momentum": 0.99} | nesterov),))
    return Suspicion(
        CODE,
        strength,
        (
            f"What is still to be gained lies in directions {told(gain, 2)} times flatter than the "
            "steepest"
            if gain >= GAIN and covariance < WIDE
            else f"The second moments of the inputs reach {told(covariance, 1)} times the first "
            "decile"
        )
        + (f"; the rate is {told(reach, 2)} of the largest stable one." if plain else "."),
        {
            "input_condition": shown(covariance, "largest second moment over the first decile", "",
                                     WIDE),
            "reach": shown(reach, "rate over the largest stable one", "", 1.0),
            "to_gain": shown(gain, "condition number weighted by what is to be gained", "", GAIN),
        },
        proofs,
        unless=[(LearningRate(factor),) for factor in (0.01, 0.1, 10.0, 100.0)],
    )  # fmt: skip


def _reach(seen: Evidence) -> float:
    """By the optimizer's own limit; where that is not known, by that of plain descent."""
    found = [
        one["reach"] if "reach" in one else seen.rate * one["largest"] / 2
        for _, one in seen.probes("curvature")
    ]
    return max(found, default=0.0)


def _gain(seen: Evidence) -> float:
    """The largest weighted condition number that was resolved."""
    rows = [one for _, one in seen.probes("curvature") if one.get("gain_condition")]
    return max((one["gain_condition"] for one in rows if one["unresolved"] < SURE), default=1.0)


def _covariance(seen: Evidence) -> float:
    """The largest ratio of an entrance's largest second moment to its first decile.

    The decile over the numerically non-null space, not the smallest one: a few directions that
    hardly ever vary stretch the whole spectrum and harm nobody.
    """
    largest = 1.0
    for key, matrix in seen.recording.moments.items():
        if key.startswith("second") and np.isfinite(matrix).all():
            values = np.linalg.eigvalsh(matrix)
            kept = values[values > values[-1] * 1e-12]
            if kept.size and math.isfinite(values[-1]):
                largest = max(largest, float(kept[-1] / np.quantile(kept, 0.1)))
    return largest
