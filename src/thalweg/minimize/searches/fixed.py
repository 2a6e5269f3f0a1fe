"""The same step every time: alpha = step, in units of the length that the direction proposes.

With the length 1 of Newton's direction, `step` is the gamma of x <- x - gamma H^-1 g; with that of
steepest descent, the learning rate. Nothing is compared: the loss may rise. A step to where the
loss is not finite is the only one refused.
"""

import math
from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Found, Line
from thalweg.minimize.searches.trials import Trials, checked_first


@final
@dataclass(frozen=True)
class Fixed:
    """A fixed multiple of the length proposed.

    Attributes:
        step: the multiple, above zero.

    Raises:
        ValueError: `step` is not a positive number.
    """

    step: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.step < math.inf:
            raise ValueError(f"Fixed(step={self.step}): give a positive number.")

    def along(self, line: Line, at_zero: tuple[float, float], first: float) -> Found:
        """The step; "satisfied" wherever the line falls at zero and the loss is finite there."""
        trials = Trials(line, at_zero, limit=1)
        alpha = self.step * checked_first("Fixed", first)
        if trials.hopeless:
            return trials.given_up(trials.hopeless)
        trial = trials(alpha)
        return trials.found(trial, "satisfied") if trial.finite else trials.given_up()
