"""Gradients grow from layer to layer or from step to step.

What it is
    The same product that makes gradients vanish makes them explode when its factors are above one:
    through many layers, through time, or through a sum that no normalization holds. One step then
    throws the parameters away; the loss leaps or stops being finite.

How it is measured
    The norm of the whole gradient at every step over the median of those before it, at its largest
    (that a gradient falls by orders of magnitude is what descent is for), together with whether
    the loss leaps above one and a half times where it began (its first value, and the mean of the
    first steps); and whether either stops being finite.

When not to trust it
    A learning rate that is too high also makes gradients grow; a smaller rate then removes the harm
    and is the better name. Clipping shortens steps and can help for that reason alone.

How it is proved
    Clipping the gradient at its usual size removes the harm; so does an initialization that keeps
    the variance, where the scale was wrong from the start, or normalization after each hidden
    layer.

References
    Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks (2013).
"""

from __future__ import annotations

import math
import statistics
from bisect import insort
from collections.abc import Sequence
from typing import Any

from thalweg.interventions import Clipping, Initialization, LearningRate, Normalization
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told

CODE = "exploding-gradient"
LEAP = 20.0


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when gradient and loss leap, or the gradient stops being finite."""
    norms = seen.gradient_norms or [_norm(one) for one in seen.samples]
    finite = [one for one in norms if math.isfinite(one) and one > 0]
    if not finite:
        return None
    usual = statistics.median(finite[: max(1, len(finite) // 2)])
    leap, largest = _leap(finite)
    broken = len(finite) < len([n for n in norms if n != 0]) or not math.isfinite(seen.final_loss)
    start = _relative(seen)
    # Leaving a saddle the gradient grows by orders of magnitude too, but the loss only falls.
    began = max(abs(seen.losses[0]), abs(seen.initial_loss)) if seen.losses else 0.0
    rises = max(seen.losses[1:], default=0.0) > 1.5 * began
    if not broken and leap < LEAP and not (rises and start >= LEAP):
        return None
    proofs: list[Proof] = [(Clipping(_round(usual)),), (Clipping(1.0),)]
    if start >= 10:
        proofs.append((Initialization(seen.scheme),))
    if seen.hidden_layers:
        normalized = Normalization(seen.hidden_layers, len(seen.layers()))
        proofs += [(normalized,), (normalized, Clipping(1.0))]
    return Suspicion(
        CODE,
        0.8 if broken else 0.6 if rises else 0.4,
        f"The gradient's norm goes up to {told(largest, 2)}, {told(leap, 2)} times its median"
        + ("; then it is no longer finite." if broken else "."),
        {
            "leap": shown(leap, "a gradient's norm over the median before it", "times", LEAP),
            "start": shown(start, "gradient norm over parameter norm at the first step", "", LEAP),
            "finite": shown(str(not broken), "whether loss and gradient stayed finite"),
        },
        proofs,
        unless=[(LearningRate(0.1),), (LearningRate(0.01),)],
    )


def _leap(norms: Sequence[float]) -> tuple[float, float]:
    """The largest ratio of a norm to the median of those before it, and that norm."""
    found, before = [(1.0, norms[0])], [norms[0]]
    for norm in norms[1:]:
        found.append((norm / before[len(before) // 2], norm))
        insort(before, norm)
    return max(found)


def _norm(sample: dict[str, Any]) -> float:
    parts = [one["gradient"] for one in sample["parameters"] if "zeros" in one]
    if any(one is None for one in parts):
        return math.inf
    return math.sqrt(sum(one * one for one in parts))


def _relative(seen: Evidence) -> float:
    weights = math.sqrt(sum((one["norm"] or 0) ** 2 for one in seen.first["parameters"]))
    return _norm(seen.first) / weights if weights else 0.0


def _round(value: float) -> float:
    """One significant digit: a threshold that a person would write."""
    return float(f"{value:.0e}")
