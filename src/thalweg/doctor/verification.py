"""A remedy holds if it beats doing nothing on every seed, by more than chance and by a margin.

More than chance are two standard errors of the paired gains, or a gap: the worst run with the
remedy beats the best one without it by the margin, which among three and three happens once in
twenty times. (Runs that end well or badly by luck make gains that differ too much for the first.)

Where the same seed does not mean the same numbers (:mod:`.repeatability`) runs cannot be paired:
then it takes more of them, and the worst run with the remedy must beat the best one without it. By
chance that happens once in 252 times: of ten runs, five and five.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.doctor.standing import Standing, gain, improvement

SEEDS = (0, 1, 2)
MORE_SEEDS = (0, 1, 2, 3, 4)  # where runs cannot be paired


@dataclass(frozen=True)
class Verification:
    """The same change on several seeds, against no change on the same seeds.

    Attributes:
        seeds: The numbers of the streams.
        before: How the runs without the change stand.
        after: How those with it do.
        paired: Whether the same seed means the same numbers.
    """

    seeds: tuple[int, ...]
    before: tuple[Standing, ...]
    after: tuple[Standing, ...]
    paired: bool = True

    @property
    def gains(self) -> list[float]:
        """By how much each seed got better."""
        return [gain(b, a) for b, a in zip(self.before, self.after, strict=True)]

    @property
    def held(self) -> bool:
        """Better on every seed; in the mean by the margin, and by more than chance.

        Losses and errors are compared by their ratio, since a bad run is bad by orders of magnitude
        that differ from seed to seed.
        """
        gains = self.gains
        if not gains or self.least <= 0:
            return False
        pairs = [
            pair for pair in zip(self.before, self.after, strict=True) if pair[0].value is not None
        ]
        if len(pairs) < len(gains) / 2:
            return True  # from nothing finite to something on most seeds
        steps = [improvement(*pair) for pair in pairs]
        mean = statistics.fmean(steps)
        return mean >= 1.0 and (mean >= 2 * standard_error(steps) or self._apart)

    @property
    def _apart(self) -> bool:
        """Whether every run with it beats every run without it by the margin."""
        return all(improvement(b, a) >= 1.0 for b in self.before for a in self.after)

    @property
    def harmless(self) -> bool:
        """Whether it is no worse in the mean, by the margin or by two standard errors."""
        pairs = list(zip(self.before, self.after, strict=True))
        if any(one.value is None or other.value is None for one, other in pairs):
            return False
        steps = [improvement(*pair) for pair in pairs]
        return statistics.fmean(steps) >= -max(1.0, 2 * standard_error(steps))

    @property
    def least(self) -> float:
        """The smallest gain: over the pairs, or over all combinations where there are no pairs."""
        if self.paired:
            return min(self.gains)
        return min(gain(b, a) for b in self.before for a in self.after)

    def as_data(self, measure: str) -> dict[str, Any]:
        """Plain data, as a report carries it."""
        finite = [one for one in self.gains if math.isfinite(one)]
        mean = statistics.fmean(finite) if finite else None
        return {
            "held": self.held,
            "seeds": list(self.seeds),
            "measure": measure,
            "higher_is_better": self.before[0].higher_is_better,
            "before": [one.value for one in self.before],
            "after": [one.value for one in self.after],
            "gain": mean,
            "error": standard_error(finite) if len(finite) > 1 else None,
            "says": self.says(),
        }

    def says(self) -> str:
        """One sentence."""
        if self.held and not self.paired:
            return "Every run with it is better than every run without it, and by a margin."
        if self.held:
            return "Better on every seed, and in the mean by more than chance and by a margin."
        if self.least <= 0:
            return "Not better on every seed." if self.paired else "Not better in every run."
        return "Better on every seed, but not by enough to be told from chance or to matter."

    def in_numbers(self, measure: str) -> str:
        """The means before and after."""
        return f"{measure}: {_mean(self.before)} before, {_mean(self.after)} after"


def standard_error(gains: Sequence[float]) -> float:
    """Of the mean of paired gains."""
    return statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0


def _mean(standings: Sequence[Standing]) -> str:
    values = [one.value for one in standings if one.value is not None]
    return f"{statistics.fmean(values):.4g}" if len(values) == len(standings) else "not finite"
