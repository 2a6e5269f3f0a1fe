"""Early layers, or early elements of a sequence, receive almost no gradient.

What it is
    Going backward each layer multiplies the gradient by its weights and by the slope of its
    activation. Sigmoids have slopes of at most 1/4; recurrent weights are multiplied once for every
    element. The product shrinks geometrically and what lies far from the loss does not learn.

How it is measured
    Through depth: the gradient's norm over the weights' norm, first layer against the largest of
    the others, geometric mean over the first two steps. Through time: the gradient of the
    step's loss for the first element of the sequence over the largest one, by replaying the step.
    Below 1/300 counts, below 1/30 is a weaker sign.

When not to trust it
    A network that has fitted its data has small gradients everywhere: only ratios count, and early
    steps. Where the first element carries no information its gradient is rightly small.

How it is proved
    An activation that passes gradients, orthogonal recurrent weights or another initialization
    removes the harm.

References
    Bengio, Simard & Frasconi (1994); Pascanu, Mikolov & Bengio (2013); Glorot & Bengio (2010).
"""

from __future__ import annotations

import math
import statistics

from thalweg.interventions import ActivationSwap, Initialization, LearningRate, Normalization
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told
from thalweg.recorder.anatomy import SATURATING

CODE = "vanishing-gradient"
FAR, NEAR = 1 / 300, 1 / 30
EARLY = 2  # steps in full; later ones show what a rate too high has made of the network


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected from a ratio of 1/30 down, through depth or through time."""
    depth, time = _depth(seen), _time(seen)
    worst = min(depth, time)
    if worst > NEAR or any(one.get("twins", 0) > 0.99 for one in seen.layers()[:-1]):
        return None
    proofs: list[Proof] = []
    if time <= NEAR:
        loop = seen.probes("unrolled")
        one = {"only": [loop[0][1]]} if loop else {"recurrent_only": True}
        proofs.append((Initialization("orthogonal", **one),))
    if depth <= NEAR:
        if any(kind in SATURATING for kind in seen.activation_kinds):
            leak = ActivationSwap("leaky_relu", seen.hidden_positions, len(seen.activation_kinds))
            proofs += [(leak,), (leak, Initialization("he"))]
        proofs.append((Initialization(seen.scheme),))
        proofs.append((Normalization(seen.hidden_layers, len(seen.layers())),))
    where = "first element of the sequence" if time < depth else "first layer"
    return Suspicion(
        CODE,
        0.85 if worst <= FAR else 0.65,
        f"The {where} receives {told(worst, 1)} of the gradient that the best placed one does.",
        {
            "through_depth": shown(
                depth, "first layer's relative gradient over the largest", "", FAR
            ),
            "through_time": shown(time, "first element's gradient over the largest", "", FAR),
        },
        proofs,
        unless=[(LearningRate(0.1),), (LearningRate(0.01),)],
    )


def _depth(seen: Evidence) -> float:
    found = []
    for sample in seen.samples[:EARLY]:
        # of an embedding only the rows at hand have a gradient: its norm says nothing about depth
        dense = [one for one in seen.layers(sample) if not one["kind"].startswith("embedding")]
        each = [seen.gradient_of(one, sample) for one in dense]
        own = [one for one in each if one is not None]
        if len(own) >= 3 and max(own) > 0:
            found.append(math.log(max(own[0] / max(own), 1e-30)))
    return math.exp(statistics.fmean(found)) if found else 1.0


def _time(seen: Evidence) -> float:
    found = [value for _, value in seen.probes("through_time")[:EARLY] if value is not None]
    return statistics.median(found) if found else 1.0
