"""Gradients of earlier steps are still in the sum.

What it is
    PyTorch adds each backward pass to what ``p.grad`` holds. Without ``zero_grad`` an update
    follows the sum of all gradients so far: a momentum of 1 that never forgets, so that steps grow
    and the parameters swing or fly away.

How it is measured
    After every update the gradients that it used are remembered. If they are still there, unchanged
    and not zero, when the next backward pass of the same optimizer begins, that step is stale. The
    evidence is the share of stale steps: it is exact, not an estimate.

When not to trust it
    Gradient accumulation (several backward passes a step, cleared once) and adversarial pairs are
    not stale. A program that keeps old gradients on purpose is; then clearing them does not help
    and the trial says so.

How it is proved
    Clearing them, and only that, removes the harm.

References
    Paszke et al., PyTorch (NeurIPS 2019), section 4: gradients accumulate by design.
"""

from __future__ import annotations

from thalweg.interventions import ClearStaleGradients
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "stale-gradients"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when more than a tenth of the steps used gradients of earlier ones."""
    rows = seen.recording.steps
    stale = sum(1 for row in rows if row.get("stale"))
    if not rows or stale <= 0.1 * len(rows):
        return None
    share = stale / len(rows)
    return Suspicion(
        CODE,
        0.97,
        f"{stale} of {len(rows)} updates still contained gradients that earlier updates had used.",
        {
            "stale_steps": shown(
                share, f"{share:.0%} of the steps added to gradients already used", "share", 0.0
            )
        },
        [(ClearStaleGradients(),)],
    )
