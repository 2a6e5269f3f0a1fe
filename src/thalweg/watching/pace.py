"""How often to look: what watching has cost so far against what it may cost.

Every purpose (a step in full, an evaluation, a saved state) is expected to cost what it cost the
last time, and is begun only where that still fits into its share of the time that has passed. So
whatever is dear becomes rare, and what is cheap is bounded by a spacing that grows with the run:
steps in full lie at least a twentieth of the run so far apart, about fifty for each tenfold of
steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LOOKING, EVALUATIONS, SAVING, PROBING = "looking", "evaluations", "saving", "probing"
# Shares of the budget; what every step costs comes out of what they leave.
SHARES = {LOOKING: 0.4, PROBING: 0.4, EVALUATIONS: 0.4, SAVING: 0.3}
SPACING = 1.05


@dataclass
class Pace:
    """What has been spent, and whether something more may be begun.

    Attributes:
        budget: Share of the run's time that watching may take.
        now: The clock, in seconds.
        own: Seconds that watching has taken.
        spent: Seconds by purpose.
        last: What each purpose cost the last time.
    """

    budget: float
    now: Callable[[], float] = time.perf_counter
    own: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning, what watching took included."""
        return self.now() - self.began

    @property
    def overhead(self) -> float:
        """What watching took over what the program took without it."""
        return self.own / max(self.elapsed - self.own, 1e-9)

    def affords(self, purpose: str, guess: float = 0.0) -> bool:
        """Whether this may be begun now; ``guess`` (seconds) stands in for a first time."""
        allowed = self.budget * (self.elapsed - self.own)
        cost = self.last.get(purpose, guess)
        share = SHARES[purpose] * allowed
        return self.own + cost <= allowed and self.spent.get(purpose, 0.0) + cost <= share

    def spend(self, purpose: str, seconds: float) -> None:
        """Note what something cost that is no measure of what it will cost the next time."""
        self.spent[purpose] = self.spent.get(purpose, 0.0) + seconds

    def charge(self, purpose: str, seconds: float) -> None:
        """Note what something cost, which `own` counts in any case."""
        self.spend(purpose, seconds)
        self.last[purpose] = seconds


def next_due(step: int) -> int:
    """The first step that lies far enough behind this one to be seen in full."""
    return max(step + 2, math.ceil(SPACING * step))
