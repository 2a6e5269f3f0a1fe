"""A learning-rate finder: the rate rises exponentially; where the loss falls fastest it is good."""

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from thalweg.interventions.scaled_rate import ScaledRate
from thalweg.recorder import Session

LOW, HIGH = 1e-3, 1e3  # times the script's own rate
SMOOTH = 0.9


@dataclass
class RateRamp(ScaledRate):
    """Factors from LOW to HIGH over so many steps."""

    kind: ClassVar[str] = "rate-ramp"
    steps: int = 100

    def factor(self, step):
        return LOW * (HIGH / LOW) ** min(1.0, step / max(1, self.steps - 1))

    def factor_by_hand(self):
        return self.factor(self._session.step_of(None))

    def rates(self, optimizer, groups):
        factor = self.factor(self._session.step_of(optimizer))
        return [group["lr"] * factor for group in groups]


@contextmanager
def ramped(folder, trial, steps):
    """The instrument of a trial."""
    with Session([RateRamp(steps)]):
        yield


def suggested(losses, ramp):
    """The factor at the steepest fall of the smoothed loss, before the loss explodes."""
    smooth, mean = [], 0.0
    for at, loss in enumerate(losses, 1):
        if not math.isfinite(loss):
            break
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        smooth.append(mean / (1 - SMOOTH**at))
        if at > 5 and smooth[-1] > 4 * min(smooth) + 1e-12 > 0:
            break
    if len(smooth) < 3:
        return 1.0
    slopes = [later - earlier for earlier, later in zip(smooth, smooth[2:], strict=False)]
    return ramp.factor(1 + min(range(len(slopes)), key=slopes.__getitem__))
