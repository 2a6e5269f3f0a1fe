"""Units start identical and stay so.

What it is
    If all units of a hidden layer have the same weights, they compute the same and get the same
    gradient for ever: the layer has one unit, however wide it is. Zero or constant weights do this.

How it is measured
    The share of a hidden layer's units whose weights equal another unit's, before the first update
    and at the last step in full. Exact. An output layer that starts at zero is not symmetric in
    this sense.

When not to trust it
    Dropout or data-dependent masks can break the symmetry later; then the share falls.

How it is proved
    Random weights that preserve variance remove the harm.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 8.4: breaking symmetry.
"""

from __future__ import annotations

from thalweg.interventions import Initialization
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "symmetric-initialization"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when every unit of some layer but the last starts as another one's twin."""
    layers = [one for one in seen.layers()[:-1] if one.get("units", 1) > 1 and "twins" in one]
    same = [one for one in layers if one["twins"] > 0.99]
    if not same:
        return None
    names = [one["weights"][0] for one in same]
    return Suspicion(
        CODE,
        0.97,
        f"All units of {len(same)} hidden layer(s) start with the same weights ({names[0]} ...).",
        {"twins": shown(1.0, "share of units equal to another one", "share", 0.0),
         "layers": shown(names, "layers whose units are all alike")},
        [(Initialization(seen.scheme),), (Initialization("torch"),)],
    )  # fmt: skip
