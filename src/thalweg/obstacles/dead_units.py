"""Units that output a constant for every input.

What it is
    A rectifier whose input is negative for every example gives zero and passes no gradient: it will
    not come back. Biases that start negative, weights of the wrong scale, or one step that was too
    long kill units; with enough of them dead the network is constant.

How it is measured
    The share of hidden units whose output does not vary over the batch, by layer, before the first
    update and at the last step in full. Above one half in some layer counts. Output layers never
    do. Nor do units that are starved: where a signal fades from layer to layer, until less than a
    tenth of what arrives differs between examples, biases alone decide what units give, and the
    gain of the weights or of the gradient is at fault. There only a layer counts that loses nine
    tenths of what still differed.

When not to trust it
    A batch of a few examples makes rare features look dead; the share over a batch is an upper
    bound. Units that die in the course of training are usually killed by the learning rate: that is
    suspected by itself, and wins if a smaller rate alone removes the harm.

How it is proved
    Another initialization, or an activation that leaks, removes the harm.

References
    Maas, Hannun & Ng, Rectifier nonlinearities improve neural network acoustic models (2013); Lu et
    al., Dying ReLU and initialization (2019).
"""

from __future__ import annotations

from thalweg.interventions import ActivationSwap, Initialization, LearningRate
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Suspicion, shown
from thalweg.recorder.anatomy import SATURATING

CODE = "dead-units"
MANY = 0.5
FADED = 0.1  # part of a signal that differs between examples, or of this what a layer passes on


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when more than half of a hidden layer is constant, at the start or at the end."""
    if not seen.samples or any(one.get("twins", 0) > 0.99 for one in seen.layers()[:-1]):
        return None
    start, end = _worst(seen, seen.first), _worst(seen, seen.samples[-1])
    if max(start, end) < MANY:
        return None
    at_once = start >= MANY
    leak = ActivationSwap("leaky_relu", seen.hidden_positions, len(seen.activation_kinds))
    proofs = [(Initialization(seen.scheme),), (leak,)] if at_once else [(leak,)]
    return Suspicion(
        CODE,
        0.92 if at_once else 0.6,
        f"{max(start, end):.0%} of a hidden layer's units give the same output for every input"
        + (" from the start." if at_once else " at the end; they were alive at the start."),
        {
            "dead_at_start": shown(
                start, "share of constant units in the worst layer", "share", MANY
            ),
            "dead_at_end": shown(end, "the same at the last step in full", "share", MANY),
        },
        proofs,
        unless=[] if at_once else [(LearningRate(0.1),), (LearningRate(0.01),)],
    )


def _worst(seen: Evidence, sample: Row) -> float:
    """The largest share of dead units in a layer, starved ones left out."""
    hidden = seen.hidden(sample)
    varies = [1.0 if one.get("varies") is None else float(one["varies"]) for one in hidden]
    pairs = list(zip([1.0, *varies], varies, strict=False))
    fades = min(varies, default=1.0) < FADED
    counted = [
        one for one, (before, after) in zip(hidden, pairs, strict=True)
        if one["kind"] not in SATURATING and not (fades and _starved(before, after))
    ]  # fmt: skip
    return max((one["dead"] or 0.0 for one in counted), default=0.0)


def _starved(before: float, after: float) -> bool:
    """Whether a layer is given next to nothing that varies, or passes on most of what it is."""
    return before < FADED or after >= FADED * before
