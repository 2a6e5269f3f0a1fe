"""A small gradient and no curvature in any direction that matters: the loss is flat all around.

What it is
    Far out on a saturated loss, or where outputs do not react to the weights, the loss changes by
    next to nothing over distances as large as the parameters themselves. Descent makes steps in
    proportion to the slope, and so makes none.

How it is measured
    Over the parameters' own length D, slope |g| D and curvature |H| D^2 both change the loss by at
    most 1 % of its height, at a step in full where the Hessian is looked at; and the loss stands
    still (within 2 %) for a fifth of the run, or ends there.

When not to trust it
    D is only a scale: a plateau of a tenth of it is not seen. Dead, saturated or identical units
    make a plateau as well and have their own names; a gradient of exactly zero is their doing. At
    the bottom of a perfect fit everything is flat, and rightly so. What a larger rate mends was too
    low a rate.

How it is proved
    A method whose steps do not depend on the scale of the gradient leaves it.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 8.2.3; LeCun et al., Efficient
    BackProp (1998), section 4.5.
"""

from __future__ import annotations

from thalweg.interventions import LearningRate, OptimizerSwap
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told

CODE = "plateau"
WAIT, LEFT = 0.2, 0.1


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when training waits, or ends, where the loss is flat over the weights' length."""
    rows = seen.probes("curvature")
    found = [(at, one) for at, one in rows if one.get("point") == "plateau" and one["gradient"]]
    named = seen.units_are_alike or seen.units_are_dead or seen.units_are_saturated
    if not found or seen.adversarial or named:
        return None
    waits = seen.waits
    there = [pair for pair in found if pair[0] <= waits * len(seen.losses)]
    ends = found[-1][0] == rows[-1][0] and seen.left > LEFT and seen.is_still_since(found[-1][0])
    if not (there and waits >= WAIT) and not ends:
        return None
    step, point = (there if there and waits >= WAIT else found)[-1]
    proofs: list[Proof] = [(OptimizerSwap("adam", 1e-2),), (OptimizerSwap("adam", 1e-1),)]
    if not seen.optimizer:
        proofs = [(LearningRate(100.0),), (LearningRate(1000.0),)]
    return Suspicion(
        CODE,
        0.85,
        f"At step {step} the loss is flat: a gradient of {told(point['gradient'], 2)} and no "
        f"eigenvalue beyond {told(max(abs(point['largest']), abs(point['smallest'])), 2)}.",
        {
            "gradient": shown(point["gradient"], "norm of the gradient there"),
            "largest": shown(point["largest"], "largest eigenvalue of the Hessian", "", None,
                             point["largest_error"]),
            "smallest": shown(point["smallest"], "smallest eigenvalue", "", None,
                              point["smallest_error"]),
            "waits": shown(waits, "share of the run before the loss moves", "share", WAIT),
        },
        proofs,
        unless=[(LearningRate(10.0),), (LearningRate(100.0),)] if seen.optimizer else [],
    )  # fmt: skip
