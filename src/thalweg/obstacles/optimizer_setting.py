"""Another hyperparameter of the optimizer is off.

What it is
    An epsilon that is larger than the root of the second moments turns an adaptive method into
    plain descent at a tiny rate; decay constants near zero forget the mean that they should keep,
    near one they never learn it; dampening takes most of the gradient away.

How it is measured
    The settings of the script's optimizer against their usual ranges: eps up to 1e-4, the first
    beta 0 to 0.99, the second 0.5 to 0.99999, momentum up to 0.99, dampening up to 0.5. Exact.

When not to trust it
    Unusual settings can be right (a large epsilon for reinforcement learning): the trial tells.

How it is proved
    The usual value, at the script's own rate, removes the harm.

References
    Kingma & Ba (2015); Choi et al., On empirical comparisons of optimizers (2019): eps matters.
"""

from __future__ import annotations

from thalweg.interventions import OptimizerSetting
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "optimizer-setting"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when a setting lies outside its usual range."""
    usual = _unusual(seen)
    if not usual:
        return None
    told = ", ".join(f"{name}={seen.setting(name)}" for name in usual)
    return Suspicion(
        CODE,
        0.93,
        f"The optimizer runs with {told}, far from what is usual.",
        {name: shown(seen.setting(name), f"usual: {value}") for name, value in usual.items()},
        [(OptimizerSetting(usual),)],
    )


def _unusual(seen: Evidence) -> dict[str, object]:
    found: dict[str, object] = {}
    if float(seen.setting("eps", 0.0) or 0.0) > 1e-4:
        found["eps"] = 1e-8
    betas = seen.setting("betas")
    if betas and not (0 <= betas[0] <= 0.99 and 0.5 <= betas[-1] <= 0.99999):
        found["betas"] = [0.9, 0.999]
    if float(seen.setting("momentum", 0.0) or 0.0) > 0.99:
        found["momentum"] = 0.9
    if float(seen.setting("dampening", 0.0) or 0.0) > 0.5:
        found["dampening"] = 0.0
    return found
