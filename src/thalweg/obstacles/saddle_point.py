"""Training waits where the gradient is all but zero and some direction still curves down.

What it is
    At a saddle the gradient vanishes although the loss does not have its minimum: in some
    directions it curves down. Descent leaves along these, from as little as there is of them, by a
    constant factor a step: from 1e-12 that takes long. Weights that all start near zero are the
    common case; in many dimensions saddles are far more frequent than local minima.

How it is measured
    First the gradient: whether descent's best step |g| / |H| is at most 1e-4 of the parameters'
    length. Of a minibatch it never is; there it counts that other batches' gradients do not tell
    that of all data from zero (a noise scale of 10 batches or more). Then the signs: a Ritz pair
    (theta, r) of the Hessian with theta + |r| < 0 proves an eigenvalue below zero; one of a
    hundredth of the largest curvature counts. And that it costs something: the loss stands still
    (within 2 %) for a fifth of the run (half of it where there is noise), or ends there.

When not to trust it
    One batch's Hessian is not that of the data. Units that start alike, or are dead, make a saddle
    as well and have their own names. Batches in order disagree without noise: there only a gradient
    that vanishes counts.

How it is proved
    A small random perturbation, at the start or where the gradient has vanished, or weights drawn
    to preserve variance, removes the harm.

References
    Dauphin et al., Identifying and attacking the saddle point problem (2014); Jin et al., How to
    escape saddle points efficiently (2017); Parlett, The symmetric eigenvalue problem (1980).
"""

from __future__ import annotations

import math
import statistics

from thalweg.interventions import Initialization, Perturbation
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told
from thalweg.obstacles.unshuffled_data import is_in_order

CODE = "saddle-point"
WAIT, BENT, LEFT = 0.2, 0.01, 0.1
NOISE, NOISY_WAIT = 10.0, 0.5
Look = tuple[int, Row]


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when training waits at a critical point with proved negative curvature."""
    if seen.adversarial or seen.units_are_alike or seen.units_are_dead:
        return None
    found = _stays(seen) or _drowned(seen)
    if not found:
        return None
    step, point = found[-1]
    sure = point["point"] == "saddle"
    steps = sorted({0, found[0][0]})
    proofs: list[Proof] = [(Perturbation(0.3, step=at),) for at in steps]
    if seen.layers():
        proofs.append((Initialization(seen.scheme),))
    return Suspicion(
        CODE,
        0.9 if sure else 0.6,
        f"At step {step} the gradient is {_small(point)} and the smallest eigenvalue "
        f"{told(point['smallest'], 2)}: a saddle, where the loss stands still.",
        {
            "gradient": shown(point["gradient"], "norm of the gradient there"),
            "smallest": shown(point["smallest"], "smallest eigenvalue of the Hessian", "", 0.0,
                              point["smallest_error"]),
            "largest": shown(point["largest"], "largest eigenvalue", "", None,
                             point["largest_error"]),
            "waits": shown(seen.waits, "share of the run before the loss moves", "share", WAIT),
        },
        proofs,
    )  # fmt: skip


def _stays(seen: Evidence) -> list[Look]:
    """The looks that show a saddle where training waits, or where it ends."""
    found = [(step, one) for step, one in seen.probes("curvature") if _is_saddle(one)]
    there = [look for look in found if look[0] <= seen.waits * len(seen.losses)]
    if there and seen.waits >= WAIT:
        return there
    return found if found and _ends_there(seen, found[-1][0]) else []


def _drowned(seen: Evidence) -> list[Look]:
    """The looks that show negative curvature, while the gradient of all data drowns in noise."""
    scales = [one["scale"] for _, one in seen.probes("noise")]
    noise = statistics.median(math.inf if one is None else one for one in scales) if scales else 0.0
    if noise < NOISE or seen.waits < NOISY_WAIT or is_in_order(seen):
        return []  # batches in order disagree without any noise
    bent = [look for look in seen.probes("curvature") if _bends_down(look[1])]
    return bent if len(bent) > 1 else []


def _small(point: Row) -> str:
    small = told(point["gradient"], 2)
    return small if point["point"] == "saddle" else "not told from zero for noise"


def _is_saddle(point: Row) -> bool:
    return point.get("point") == "saddle" and _bends_down(point)


def _bends_down(point: Row) -> bool:
    """Whether negative curvature is proved, and a part of the largest."""
    proved = point["smallest"] + point["smallest_error"] < 0 and point["gradient"] is not None
    return proved and -point["smallest"] >= BENT * abs(point["largest"])


def _ends_there(seen: Evidence, step: int) -> bool:
    """Whether the last look at the curvature shows a saddle, and nothing has moved since."""
    last = max(at for at, _ in seen.probes("curvature"))
    return step == last and seen.left > LEFT and seen.is_still_since(step)
