"""How a run did, and whether another did better by a margin that a person would care about.

A run is judged by the script's own last evaluation where it makes one (see ``Recording.measure``),
else by its training loss. Better means: three points of an accuracy, a tenth of an error, three
tenths of a training loss that nothing but itself speaks for; and for the first, single comparison a
third more than that, since it is one seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from thalweg.obstacles.evidence import final
from thalweg.recorder import Recording
from thalweg.recorder.recording import higher_is_better, sort_of

POINTS, SHARE, TRAINING_SHARE = 0.03, 0.10, 0.30
FIRST = 4 / 3
MOST = 10.0  # margins that the ratio of one seed may count

SHARES = ("rate", "error rate", "score")  # where they do not count something else

Measure = tuple[str, str] | None


@dataclass(frozen=True)
class Standing:
    """The end of one run.

    Attributes:
        value: The script's own last evaluation, or the final training loss; None if not finite.
        loss: The final training loss; infinite if not finite.
        kind: ``training loss``, or that of the reading (:mod:`thalweg.recorder.readings`).
    """

    value: float | None
    loss: float
    kind: str

    def __str__(self) -> str:
        return "not finite" if self.value is None else f"{self.value:.4g}"

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the value is better."""
        return higher_is_better(self.kind)


def standing(recording: Recording, measure: Measure, optimizer: int) -> Standing:
    """How this run did by that measure (None: by its training loss)."""
    loss = final(recording.losses(optimizer))
    if measure is None:
        return Standing(loss if math.isfinite(loss) else None, loss, "training loss")
    series = recording.series(measure)
    last = series[-1][1] if series else math.nan
    return Standing(last if math.isfinite(last) else None, loss, measure[1])


def gain(base: Standing, other: Standing) -> float:
    """By how much the other is better, in the value's units; infinite from nothing to something."""
    if other.value is None:
        return -math.inf if base.value is not None else 0.0
    if base.value is None:
        return math.inf
    difference = other.value - base.value
    return difference if base.higher_is_better else -difference


def preference(base: Standing, other: Standing) -> tuple[float, float]:
    """Sorts runs from worst to best: by their gain, and by value where all come from nothing."""
    if other.value is None:
        return gain(base, other), -math.inf
    return gain(base, other), other.value if other.higher_is_better else -other.value


def margin(base: Standing) -> float:
    """The gain that a person would care about."""
    if base.value is None:
        return 0.0
    if base.kind == "accuracy" or (sort_of(base.kind) in SHARES and abs(base.value) <= 1):
        return POINTS
    return (TRAINING_SHARE if base.kind == "training loss" else SHARE) * abs(base.value)


def improvement(base: Standing, other: Standing) -> float:
    """The gain in margins: 1 is just worth having. By ratio where both are positive errors.

    A ratio counts at most ``MOST``: a seed on which the other reaches zero must not drown the rest.
    """
    by_difference = sort_of(base.kind) in ("accuracy", *SHARES)
    if base.value is None or other.value is None or by_difference:
        steps = gain(base, other) / margin(base) if margin(base) else gain(base, other)
    elif base.value <= 0 or other.value < 0:
        steps = gain(base, other) / margin(base) if margin(base) else 0.0
    else:
        wanted = -math.log1p(-(TRAINING_SHARE if base.kind == "training loss" else SHARE))
        steps = min(math.log(base.value / max(other.value, 1e-300)) / wanted, MOST)
    return steps


def better(base: Standing, other: Standing) -> bool:
    """Whether one comparison shows enough to be worth verifying."""
    return gain(base, other) > max(FIRST * margin(base), 1e-12)


def fits_better(base: Standing, other: Standing) -> bool:
    """Whether the other fits its training data at least as well."""
    return (
        other.loss <= base.loss + 0.02 * abs(base.loss)
        if math.isfinite(base.loss)
        else (math.isfinite(other.loss))
    )


def share(base: Standing, other: Standing, best: Standing) -> float:
    """The part of the harm that the other removes: 0 as the base, 1 as the best run seen."""
    won, possible = gain(base, other), gain(base, best)
    if math.isinf(won) and math.isinf(possible):
        return _closeness(other, best)
    if possible <= 0 or math.isinf(won):
        return 0.0
    return won / possible


def _closeness(other: Standing, best: Standing) -> float:
    """Where the base gave nothing finite: 1 near the best, less with the distance.

    Near is a tenth of it; of errors and losses, that may differ by orders of magnitude, one order,
    and three orders away nothing is left.
    """
    if other.value is None or best.value is None:
        return 0.0
    if not other.higher_is_better and best.value > 0 and other.value > 0:
        orders = math.log10(other.value / best.value)
        return min(1.0, max(0.0, 1.0 - (orders - 1) / 2))
    distance = abs(other.value - best.value) / max(abs(best.value), 1e-12)
    return 1.0 if distance <= 0.1 else max(0.0, 1.0 - distance)
