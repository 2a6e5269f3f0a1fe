"""Inputs off center or of very different scales.

What it is
    For a layer on inputs x the curvature is the inputs' second moment times that of its outputs: a
    feature a hundred times larger has ten thousand times the curvature, and a mean far from zero
    adds one huge eigenvalue. The largest feature sets the learning rate and the rest do not learn;
    tanh and sigmoid units saturate at once.

How it is measured
    Mean and deviation of every feature that meets the first weights, over up to 5000 training rows:
    the spread of the deviations, the largest |mean| / deviation, and the overall scale. Constant
    features are left out.

When not to trust it
    Sparse and one-hot inputs, images with dark borders and counts look unscaled and often train
    well: only the trial decides.

How it is proved
    Standardizing the inputs, and only that, removes the harm.

References
    LeCun et al., Efficient BackProp (1998), sections 4.3 and 5.1 (the Hessian of a linear unit is
    the covariance of its inputs).
"""

from __future__ import annotations

import math

import numpy as np

from thalweg.interventions import InputStandardization
from thalweg.interventions.input_standardization import of_moments
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "unscaled-inputs"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected from a spread of 5, an offset of 3 deviations or an overall scale off by 4."""
    moments = seen.recording.moments
    known = [at for at in range(len(moments)) if f"mean{at}" in moments]
    # a state that starts at zero enters too, and is no data
    entrances = [at for at in known if moments[f"mean{at}"].any() or moments[f"std{at}"].any()]
    if not entrances:
        return None
    spread = max(_spread(moments[f"std{at}"]) for at in entrances)
    offset = max(_offset(moments[f"mean{at}"], moments[f"std{at}"]) for at in entrances)
    scale = max((_scale(moments[f"mean{a}"], moments[f"std{a}"]) for a in entrances),
                key=lambda s: abs(math.log(s)))  # fmt: skip
    odds = (spread / 10, offset / 5, scale / 5, 0.1 / scale)
    worst = max(odds)
    if worst < 0.5:
        return None
    strength = min(0.93, 0.6 + 0.2 * math.log10(worst)) if worst >= 1 else 0.4
    return Suspicion(
        CODE,
        strength,
        f"Features enter with deviations up to {told(spread)} times apart, means up to "
        f"{told(offset)} deviations from zero, and a scale of {told(scale)}.",
        {
            "spread": shown(spread, "largest over smallest deviation of a feature", "times", 10.0),
            "offset": shown(offset, "largest |mean| of a feature in its deviations", "", 5.0),
            "scale": shown(scale, "root mean square of what enters", "", 5.0),
        },
        [(InputStandardization(of_moments(moments)),)],
    )


def _varying(std: np.ndarray) -> np.ndarray:
    return std[std > 1e-8 * max(float(std.max()), 1e-30)]


def _spread(std: np.ndarray) -> float:
    varying = _varying(std)
    if varying.size < 2:
        return 1.0
    low, high = (
        np.quantile(varying, [0.05, 0.95]) if varying.size > 20 else (min(varying), max(varying))
    )
    return float(high / low)


def _offset(mean: np.ndarray, std: np.ndarray) -> float:
    varying = std > 1e-8 * max(float(std.max()), 1e-30)
    ratios = np.abs(mean[varying]) / std[varying]
    return float(np.quantile(ratios, 0.9)) if ratios.size > 20 else float(ratios.max(initial=0.0))


def _scale(mean: np.ndarray, std: np.ndarray) -> float:
    return max(float(np.sqrt(np.mean(mean**2 + std**2))), 1e-30)
