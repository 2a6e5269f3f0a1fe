"""A few classes dominate the loss.

What it is
    With one positive in thirty, always answering "negative" is nearly the least loss a small model
    can reach in the time it has; the rare class never crosses the threshold.

How it is measured
    How often each class occurs among the training targets of the recorded steps. The rarest class
    below a tenth of its fair share counts.

When not to trust it
    Unequal classes are no fault if the overall accuracy is what matters: weighting then makes the
    script's own evaluation worse, and the trial says so.

How it is proved
    Weighting the classes in the loss improves what the script evaluates.

References
    Japkowicz & Stephen, The class imbalance problem (2002); King & Zeng (2001).
"""

from __future__ import annotations

from thalweg.interventions import ClassWeights
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "class-imbalance"
RARE = 0.2


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when the rarest class has less than a fifth of its fair share."""
    counts = {int(k): n for k, n in seen.recording.summary.get("target_counts", {}).items()}
    if len(counts) < 2 or min(counts) < 0 or max(counts) != len(counts) - 1:
        return None
    total = sum(counts.values())
    shares = [counts[i] / total for i in range(len(counts))]
    rarest = min(shares) * len(shares)
    if rarest > RARE or total < 200:
        return None
    weights = [1.0 / (share * len(shares)) for share in shares]
    return Suspicion(
        CODE,
        0.85,
        f"The rarest of {len(shares)} classes makes up {min(shares):.1%} of the training targets.",
        {
            "rarest": shown(min(shares), "share of the rarest class", "share"),
            "fair_share": shown(rarest, "that over an equal share", "times", RARE),
        },
        [(ClassWeights([round(one, 4) for one in weights]),)],
        fits=False,
    )
