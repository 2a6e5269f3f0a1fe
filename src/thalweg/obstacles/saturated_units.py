"""Units stuck on the flat part of their activation.

What it is
    A tanh or sigmoid unit with a large input gives its limit whatever the input is, and its slope
    is nearly zero: it passes almost no gradient. Inputs of a large scale, weights that start too
    large or a long step put units there.

How it is measured
    The share of a hidden layer's values within 2 % of the activation's limits, over the batch, in
    the worst layer, before the first update and at the last step in full. Above one half counts.
    Output layers never do: a confident output is saturated on purpose.

When not to trust it
    Gates of a recurrent network saturate on purpose. Saturation is usually a symptom: the scale of
    the inputs or of the weights is suspected by itself and wins where its own trial works.

How it is proved
    An activation that passes gradients, or another initialization, removes the harm.

References
    Glorot & Bengio (2010), section 3; LeCun et al., Efficient BackProp (1998), section 4.4.
"""

from __future__ import annotations

from thalweg.interventions import ActivationSwap, Initialization
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "saturated-units"
MANY = 0.5


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when more than half of a hidden layer's values stand at the activation's limits."""
    if not seen.samples:
        return None
    start, end = _worst(seen, seen.first), _worst(seen, seen.samples[-1])
    if max(start, end) < MANY:
        return None
    leak = ActivationSwap("leaky_relu", seen.hidden_positions, len(seen.activation_kinds))
    return Suspicion(
        CODE,
        0.75 if start >= MANY else 0.5,
        f"{max(start, end):.0%} of a hidden layer's values stand at their activation's limits.",
        {
            "at_start": shown(start, "share of saturated values, worst layer", "share", MANY),
            "at_end": shown(end, "the same at the last step in full", "share", MANY),
        },
        [(leak,), (Initialization(seen.scheme),)],
    )


def _worst(seen: Evidence, sample: Row) -> float:
    return max((one.get("saturated") or 0.0 for one in seen.hidden(sample)), default=0.0)
