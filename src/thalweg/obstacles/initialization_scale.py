"""Weights start far too large or far too small.

What it is
    A layer keeps the variance of its signal if its weights have a standard deviation of about
    1/sqrt(fan in) (sqrt(2) times that before a rectifier). Layer by layer a deviation multiplies:
    signals and gradients die out or blow up with depth before the first update is made.

How it is measured
    For every layer the gain, rms(weights) x sqrt(fan in), before the first update: 1.4 for He's
    scheme, 1 for LeCun's, 0.58 for PyTorch's default. Together with the scale of what the last
    layer gives over what enters. The reference range of a gain is 0.3 to 2.5. Where gains are in
    range and there are embeddings: the deviation of the first logits; products of embeddings of
    variance one grow like the square root of their size.

When not to trust it
    Normalization layers make the scale immaterial; a deliberately small last layer is harmless.
    Biases far from zero are not seen by the gain: dead units show those.

How it is proved
    A variance-preserving initialization removes the harm.

References
    Glorot & Bengio (2010); He et al. (2015); LeCun et al., Efficient BackProp (1998), section 4.6.
"""

from __future__ import annotations

import math
import statistics

from thalweg.interventions import Initialization
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown, told
from thalweg.recorder.anatomy import RECURRENT

CODE = "initialization-scale"
LOW, HIGH = 0.3, 2.5
SURE = 4.0  # deviation of the logits at which a prediction is sure of itself
LOGITS = frozenset({"cross_entropy", "binary_cross_entropy_with_logits"})


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when gains, their product through the depth, or first logits leave their range."""
    return _by_gains(seen) or _by_logits(seen)


def _by_logits(seen: Evidence) -> Suspicion | None:
    """From logits that are far apart before anything has been learned, with embeddings behind."""
    ending = (seen.first.get("ending") or {}) if seen.samples else {}
    spread = ending.get("outputs", {}).get("std") or 0.0
    tables = [one for one in seen.layers() if one["kind"].startswith("embedding")]
    if ending.get("kind") not in LOGITS or spread <= SURE or not tables:
        return None
    return Suspicion(
        CODE,
        0.9,
        f"The logits start with a deviation of {told(spread, 2)}: the embeddings start too large.",
        {"logits": shown(spread, "deviation of the outputs before the first update", "", SURE)},
        [(Initialization("unit-rows"),)],
    )


def _by_gains(seen: Evidence) -> Suspicion | None:
    # recurrent weights are scaled by their states, not by their inputs
    plain = [one for one in seen.layers() if one["kind"] not in RECURRENT]
    gains = [one["gain"] for one in plain if one.get("gain") is not None]
    twins = [one.get("twins", 0.0) for one in seen.layers()[:-1]]
    if not gains or any(one > 0.99 for one in twins):
        return None
    middle = _geometric_mean(gains)
    outside = sum(1 for one in gains if not LOW <= one <= HIGH)
    through = middle ** len(gains)
    if outside == 0 and 1e-4 < through < 1e4:
        return None
    size = "large" if middle > 1 else "small"
    strength = 0.9 if outside >= len(gains) / 2 else 0.6 if outside else 0.5
    evidence = {
        "gain": shown(middle, "geometric mean over the layers of rms(weights) x sqrt(fan in)", "",
                      HIGH if middle > 1 else LOW),
        "layers_outside": shown(outside, f"of {len(gains)} layers start outside {LOW} to {HIGH}"),
        "through_depth": shown(through, "product of the gains through the depth"),
    }  # fmt: skip
    summary = (
        f"The weights start too {size}: a gain of {told(middle, 2)} a layer, "
        f"{told(through, 1)} through {len(gains)} layers."
    )
    return Suspicion(
        CODE,
        strength,
        summary,
        evidence,
        [(Initialization(seen.scheme),), (Initialization("torch"),)],
    )


def _geometric_mean(gains: list[float]) -> float:
    return math.exp(statistics.fmean(math.log(max(one, 1e-300)) for one in gains))
