"""Updates round to zero in the parameters' number format.

What it is
    bfloat16 has 8 significant bits: an update smaller than 1/512 of its weight is rounded away, and
    training stands still while its gradients are fine. float16 has 11, and overflows at 65504.

How it is measured
    Among parameters of half precision: the share of entries that an update leaves bit for bit as
    they were although their gradient is not zero, at the steps in full. Half-precision parameters
    whose loss stops being finite are suspected as well: squares of small gradients, and an epsilon
    of 1e-8, are zero in float16.

When not to trust it
    Autocast over float32 parameters is not concerned. At the end of a schedule small updates are
    meant.

How it is proved
    The same optimizer on float32 copies of the parameters removes the harm.

References
    Micikevicius et al., Mixed precision training (2018), section 3.1.
"""

from __future__ import annotations

import math
import statistics

from thalweg.interventions import MasterWeights
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "low-precision"
MOST = 0.3


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when a third of the entries with a gradient do not move, in half precision."""
    lost = [
        max(0.0, one["unchanged"] - one["zeros"])
        for sample in seen.samples
        for one in sample["parameters"]
        if one["dtype"] in ("bfloat16", "float16")
        and "unchanged" in one
        and one["zeros"] is not None
    ]
    share = statistics.fmean(lost) if lost else 0.0
    left = not math.isfinite(seen.final_loss)
    if not lost or (share < MOST and not left):
        return None
    return Suspicion(
        CODE,
        0.95 if share >= MOST else 0.85,
        f"{share:.0%} of the updates of half-precision parameters round to no change at all"
        + (", and the loss leaves the numbers." if left else "."),
        {
            "lost": shown(
                share, "entries with a gradient that an update left unchanged", "share", MOST
            )
        },
        [(MasterWeights(),)],
    )
