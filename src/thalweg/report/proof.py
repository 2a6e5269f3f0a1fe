"""What proves a finding: the run with the change, to be shown beside the run without."""

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.report.curves import finite, loss_of, measure_of

Trial = Mapping[str, Any]


def changed_trial(finding: Mapping[str, Any], baseline: Trial | None) -> Trial | None:
    """The trial to show beside the baseline; None when none has a curve.

    The one under the remedy's own interventions and the baseline's seed if there is one, else the
    one that removed most of the harm.
    """
    wanted = (finding["remedy"] or {}).get("interventions")
    seed = baseline["seed"] if baseline else 0

    def preference(trial: Trial) -> tuple[bool, bool, float]:
        gain = trial["gain"]
        return (
            trial["interventions"] == wanted,
            trial["seed"] == seed,
            float("-inf") if gain is None else gain,
        )

    return max(filter(has_curve, finding["trials"]), key=preference, default=None)


def has_curve(trial: Trial) -> bool:
    """Whether there is anything to draw: a loss or a measure with a finite value."""
    return bool(finite(loss_of(trial).values) or finite(measure_of(trial).values))


def mean(values: Sequence[float | None]) -> float | None:
    """The mean; None when there is nothing to take it of, or a value was not finite."""
    present = finite(values)
    return sum(present) / len(present) if present and len(present) == len(values) else None
