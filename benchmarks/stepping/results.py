"""What was measured of one rule on one model, and the ratios between it.

The contestants take turns, and a ratio is the median over turns of the ratio within a turn, so that
a load on the machine that comes and goes cancels out.
"""

import math
import statistics
from dataclasses import dataclass, field

REFERENCES = ("torch", "each", "auto")  # the first that took part is what others are compared with


@dataclass
class Result:
    """One rule on one model: seconds of a step by contestant and turn, and what else was seen."""

    rule: str
    model: str
    pointwise: bool
    param_bytes: int
    state_bytes: int = 0
    moved_bytes: int = 0  # by a step, at least
    pass_bytes: int = 0  # by one "in place" or "copy" of a turn
    turns: list[dict[str, float]] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)  # seconds of the first two steps
    extra: dict[str, int] = field(default_factory=dict)  # bytes at most, beyond what is kept
    notes: dict[str, str] = field(default_factory=dict)  # why a contestant did not take part

    def has(self, name):
        return any(name in turn for turn in self.turns)

    @property
    def reference(self):
        return next((name for name in REFERENCES if self.has(name)), None)

    def seconds(self, name):
        """A step's median time."""
        return statistics.median(turn[name] for turn in self.turns if name in turn)

    def ratio(self, name, to):
        """By how much one takes longer than the other; NaN where nothing links them."""
        shared = [turn[name] / turn[to] for turn in self.turns if name in turn and to in turn]
        if shared:
            return statistics.median(shared)
        link = self.reference  # in different rounds for want of memory, each beside the reference
        if link is None or link in (name, to):
            return math.nan
        return self.ratio(name, link) / self.ratio(to, link)

    def by_floor(self, name, what="in place"):
        """A step's time over that of moving its bytes at the speed of a pass over memory."""
        if not self.moved_bytes:  # none of our forms took part
            return math.nan
        return self.ratio(name, what) * self.pass_bytes / self.moved_bytes

    def floor(self):
        """Seconds in which the bytes of a step can be moved."""
        return self.seconds("in place") * self.moved_bytes / self.pass_bytes

    def for_each_parameter(self, size):
        """Bytes of float32 parameters, or bytes in all, for each single parameter."""
        return size / (self.param_bytes / 4)

    def extra_share(self, name):
        """Memory that a step takes for itself, in the parameters' bytes."""
        return self.extra[name] / self.param_bytes

    def as_data(self):
        """Medians and ratios as plain data."""
        names = sorted({name for turn in self.turns for name in turn})
        steps = {
            name: {
                "seconds": self.seconds(name),
                "to_reference": _number(self.ratio(name, self.reference)),
                "to_floor": _number(self.by_floor(name)) if self.pass_bytes else None,
            }
            for name in names
        }
        own = {k: v for k, v in vars(self).items() if k != "turns"}
        return {**own, "reference": self.reference, "turns": len(self.turns), "steps": steps}


def _number(x):
    """As JSON has it, which knows no NaN."""
    return None if math.isnan(x) else x
