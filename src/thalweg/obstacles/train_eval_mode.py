"""Dropout or batch statistics in the wrong mode.

What it is
    In training mode dropout removes units and batch normalization uses the batch at hand; an
    evaluation in that mode is noisy, or wrong where a batch is not a fair sample. Training in
    evaluation mode leaves regularization and running statistics out.

How it is measured
    Every call of dropout and batch normalization is counted by its flag and by whether gradients
    were on. Active calls with gradients off, or passive ones with gradients on, are the evidence.
    Exact.

When not to trust it
    Monte-Carlo dropout is active on purpose; fine-tuning may freeze batch statistics on purpose.
    The trial tells.

How it is proved
    The other mode, and only that, removes the harm.

References
    Srivastava et al. (2014); Ioffe & Szegedy (2015).
"""

from __future__ import annotations

from thalweg.interventions import Mode
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "train-eval-mode"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when a layer ran in the mode that does not fit where it was called."""
    modes = seen.recording.summary.get("modes", {})
    evaluation = sum(n for key, n in modes.items() if key.endswith("active in evaluation"))
    training = sum(n for key, n in modes.items() if key.endswith("passive in training"))
    if not evaluation and not training:
        return None
    where = "evaluation" if evaluation else "training"
    how = "training" if evaluation else "evaluation"
    return Suspicion(
        CODE,
        0.95,
        f"Dropout or batch normalization ran {evaluation or training} times in {how} mode during "
        f"{where}.",
        {"calls": shown(evaluation or training, f"calls in {how} mode during {where}", "", 0)},
        [(Mode(where),)],
        fits=bool(training),
    )
