"""Units start identical and stay so.

What it is
    If all units of a hidden layer have the same weights, they compute the same and get the same
    gradient for ever: the layer has one unit, however wide it is. Zero or constant weights do this.
    So do the rows of any parameter that stand for the same kind of thing (components of a mixture,
    prototypes, queries): where all start as one and are used alike, there is one of them.

How it is measured
    The share of a hidden layer's units whose weights equal another unit's, before the first update
    and at the last step in full. Exact. An output layer that starts at zero is not symmetric in
    this sense. Of every parameter of two or more axes: whether its rows are one row repeated and
    receive one gradient, not zero, at the first step in full and still at the last. Constants that
    are told apart by their gradients (a table of positions that starts at zero) are none of these.

When not to trust it
    Dropout or data-dependent masks can break the symmetry later; then the share falls.

How it is proved
    Random weights that preserve variance remove the harm; for rows of a parameter, noise that
    reaches only these, of 0.3 or 0.01 of their usual size.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 8.4: breaking symmetry.
"""

from __future__ import annotations

from thalweg.interventions import Initialization, Perturbation
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "symmetric-initialization"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when all units of some layer but the last, or rows of a parameter, are twins."""
    layers = [one for one in seen.layers()[:-1] if one.get("units", 1) > 1 and "twins" in one]
    same = [one for one in layers if one["twins"] > 0.99]
    if not same:
        return _rows(seen.rows_alike)
    names = [one["weights"][0] for one in same]
    return Suspicion(
        CODE,
        0.97,
        f"All units of {len(same)} hidden layer(s) start with the same weights ({names[0]} ...).",
        {"twins": shown(1.0, "share of units equal to another one", "share", 0.0),
         "layers": shown(names, "layers whose units are all alike")},
        [(Initialization(seen.scheme),), (Initialization("torch"),)],
    )  # fmt: skip


def _rows(names: list[str]) -> Suspicion | None:
    """The suspicion that rows of these parameters are one row, several times."""
    if not names:
        return None
    return Suspicion(
        CODE,
        0.95,
        f"All rows of {', '.join(names[:3])} start with the same values and receive the same "
        f"gradient, from the first step to the last.",
        {"rows": shown(names, "parameters whose rows are all alike")},
        [(Perturbation(0.3, alike=True),), (Perturbation(0.01, alike=True),)],
    )
