"""Plain descent where the problem needs an accelerated or adaptive method.

What it is
    Plain descent gives every parameter the same rate and forgets every gradient. A row of an
    embedding whose word occurs once in a thousand examples moves a thousand times less than the
    others; a long narrow valley is walked down step by step. Momentum and adaptive rates were made
    for this.

How it is measured
    For stochastic descent without momentum whose loss is still high: the share of a parameter's
    gradient that is exactly zero (rows that no example of the batch uses), and the spread of the
    relative gradients |g| / |w| between the parameters, both the median over the first steps in
    full. Nine tenths zero, or a spread of 30, count.

When not to trust it
    A rate that is too low looks the same: if ten or a hundred times the rate removes the harm, that
    is the name. Where the curvature itself is seen to be spread, ill-conditioning is.

How it is proved
    Adam at its usual rates, or momentum, removes the harm while no other rate does.

References
    Duchi, Hazan & Singer, Adaptive subgradient methods (2011); Sutskever et al., On the importance
    of initialization and momentum (2013); Kunstner et al., Heavy-tailed class imbalance and why
    Adam outperforms gradient descent (2024).
"""

from __future__ import annotations

import statistics

from thalweg.interventions import LearningRate, OptimizerSetting, OptimizerSwap
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told

CODE = "weak-optimizer"
SPARSE, SPREAD = 0.9, 30.0
LEFT = 0.1  # of the first loss: below it there is little to gain


def judge(seen: Evidence) -> Suspicion | None:
    """A candidate for plain descent that has not got far; strong where gradients are sparse."""
    if seen.optimizer.get("kind") != "SGD" or seen.setting("momentum", 0.0) or not seen.samples:
        return None
    if seen.diverged or not seen.left > LEFT:
        return None
    early = seen.samples[:4]
    sparse = statistics.median(max(_zeros(one), default=0.0) for one in early)
    spread = statistics.median(_spread(one) for one in early)
    clear = sparse >= SPARSE or spread >= SPREAD
    proofs: list[Proof] = [(OptimizerSwap("adam", 1e-3),), (OptimizerSwap("adam", 1e-2),)]
    proofs.append((OptimizerSetting({"momentum": 0.9, "nesterov": True}),))
    return Suspicion(
        CODE,
        0.7 if clear else 0.36,
        f"Plain descent leaves {seen.left:.0%} of the first loss"
        + (f"; up to {sparse:.0%} of a parameter's gradient is zero" if sparse >= SPARSE else "")
        + (f"; relative gradients are {told(spread, 2)} times apart" if spread >= SPREAD else "")
        + ".",
        {
            "loss_left": shown(seen.left, "final loss over initial loss", "share", LEFT),
            "sparse": shown(sparse, "largest share of a parameter's gradient that is zero",
                            "share", SPARSE),
            "spread": shown(spread, "largest over smallest relative gradient", "times", SPREAD),
        },
        proofs,
        unless=[(LearningRate(factor),) for factor in (0.1, 10.0, 100.0)],
    )  # fmt: skip


def _zeros(sample: Row) -> list[float]:
    """Of matrices; where whole layers are dead there is another name for it."""
    big = [one for one in sample.get("parameters", []) if len(one["shape"]) > 1]
    return [one["zeros"] for one in big if "zeros" in one and one["zeros"] < 1]


def _spread(sample: Row) -> float:
    """Of |g| / |w| between matrices that have a gradient."""
    big = [one for one in sample.get("parameters", []) if len(one["shape"]) > 1]
    found = [one["gradient"] / one["norm"] for one in big if one["gradient"] and one["norm"]]
    return max(found) / min(found) if len(found) > 1 else 1.0
