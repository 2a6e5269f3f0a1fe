"""Parameters that should learn are not given to the optimizer.

What it is
    The loss depends on them and has a gradient for them, but no optimizer holds them: layers in a
    Python list instead of ``nn.ModuleList``, a head added after the optimizer was made, a parameter
    group left out. They stay at their random start and the rest has to work around them.

How it is measured
    The graph of each recorded loss is walked to its leaves; leaves that require a gradient and are
    in no optimizer's parameter groups are named. Exact.

When not to trust it
    Parameters left alone on purpose (a frozen backbone) usually have ``requires_grad=False`` and
    are not named. Where they do require gradients and training them does not help, the trial says
    so.

How it is proved
    Giving them to the optimizer, and only that, removes the harm.

References
    PyTorch documentation, ``torch.nn.Module``: only registered parameters are found.
"""

from __future__ import annotations

from thalweg.interventions import TrainedParameters
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "untrained-parameters"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when the loss has a gradient for parameters that no optimizer holds."""
    names = seen.recording.summary.get("untrained", [])
    if not names:
        return None
    listed = ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")
    return Suspicion(
        CODE,
        0.95,
        f"The loss depends on {len(names)} parameters that no optimizer was given: {listed}.",
        {"untrained": shown(names, "they have a gradient and are never updated")},
        [(TrainedParameters(),)],
    )
