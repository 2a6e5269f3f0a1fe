"""Training waits where the gradient is all but zero and some direction still curves down.

What it is
    At a saddle the gradient vanishes although the loss does not have its minimum: in some
    directions it curves down. Descent leaves along these, from as little as there is of them, by a
    constant factor a step: from 1e-12 that takes long. Weights that all start near zero are the
    common case; in many dimensions saddles are far more frequent than local minima.

How it is measured
    First the gradient: whether descent's best step |g| / |H| is at most 1e-4 of the parameters'
    length. Then the signs: a Ritz pair (theta, r) of the Hessian with theta + |r| < 0 proves an
    eigenvalue below zero; one of a hundredth of the largest curvature counts. And that it costs
    something: the loss stands still (within 2 %) for a fifth of the run, or ends there.

When not to trust it
    One batch's Hessian is not that of the data. Units that start alike, or are dead, make a saddle
    as well and have their own names.

How it is proved
    A small random perturbation, at the start or where the gradient has vanished, or weights drawn
    to preserve variance, removes the harm.

References
    Dauphin et al., Identifying and attacking the saddle point problem (2014); Jin et al., How to
    escape saddle points efficiently (2017); Parlett, The symmetric eigenvalue problem (1980).
"""

from __future__ import annotations

from thalweg.interventions import Initialization, Perturbation
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told

CODE = "saddle-point"
WAIT, BENT, LEFT = 0.2, 0.01, 0.1


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when training waits at a critical point with proved negative curvature."""
    found = [(step, one) for step, one in seen.probes("curvature") if _is_saddle(one)]
    if not found or seen.adversarial or seen.units_are_alike or seen.units_are_dead:
        return None
    waits = seen.waits
    there = [pair for pair in found if pair[0] <= waits * len(seen.losses)]
    at_the_end = found[-1:] if _ends_there(seen, found[-1][0]) else []
    if not (there and waits >= WAIT) and not at_the_end:
        return None
    step, point = (there if waits >= WAIT and there else at_the_end)[-1]
    steps = sorted({0, found[0][0]})
    proofs: list[Proof] = [(Perturbation(0.3, step=at),) for at in steps]
    if seen.layers():
        proofs.append((Initialization(seen.scheme),))
    return Suspicion(
        CODE,
        0.9,
        f"At step {step} the gradient is {told(point['gradient'], 2)} and the smallest eigenvalue "
        f"{told(point['smallest'], 2)}: a saddle, where the loss stands still.",
        {
            "gradient": shown(point["gradient"], "norm of the gradient there"),
            "smallest": shown(point["smallest"], "smallest eigenvalue of the Hessian", "", 0.0,
                              point["smallest_error"]),
            "largest": shown(point["largest"], "largest eigenvalue", "", None,
                             point["largest_error"]),
            "waits": shown(waits, "share of the run before the loss moves", "share", WAIT),
        },
        proofs,
    )  # fmt: skip


def _is_saddle(point: Row) -> bool:
    known = point.get("point") == "saddle" and point["gradient"] is not None
    return known and -point["smallest"] >= BENT * abs(point["largest"])


def _ends_there(seen: Evidence, step: int) -> bool:
    """Whether the last look at the curvature shows a saddle, and nothing has moved since."""
    last = max(at for at, _ in seen.probes("curvature"))
    return step == last and seen.left > LEFT and seen.is_still_since(step)
