"""A step that satisfies the Wolfe conditions, or approximates them as far as rounding lets tell.

    phi(alpha) <= phi(0) + c1 alpha phi'(0)  and  phi'(alpha) >= c2 phi'(0),   or
    (2 c1 - 1) phi'(0) >= phi'(alpha) >= c2 phi'(0)  and  phi(alpha) <= phi(0) + eps |phi(0)|

The second line lets an iteration come to a minimum as near as gradients can tell, about the root of
what values can tell; for that the loss may rise a little, by `allowance`. The trials are those of
`secant_squared`.

W. Hager & H. Zhang, *SIAM J. Optim.* 16 (2005), section 4; *ACM Trans. Math. Softw.* 32 (2006).
"""

import math
from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Found, Line
from thalweg.minimize.searches import secant_squared
from thalweg.minimize.searches.conditions import (
    approximate_wolfe,
    armijo,
    check_constants,
    wolfe,
)
from thalweg.minimize.searches.secant_squared import Ground
from thalweg.minimize.searches.trials import Point, Trials, check_limits, checked_first


@final
@dataclass(frozen=True)
class HagerZhang:
    """Hager and Zhang's search for a step that satisfies the (approximate) Wolfe conditions.

    Attributes:
        decrease: c1, of the decrease that the slope at zero promises; 0 < c1 < 1/2.
        curvature: c2, how much of that slope may be left; c1 <= c2 < 1.
        allowance: eps, by how much the loss may rise, relative to its size, where the slopes say
            that it falls; at least 0, and never less than the loss's own rounding.
        max_evaluations: of the line.
        max_step: the longest alpha. There sufficient decrease is enough.

    Raises:
        ValueError: a constant out of its domain.
    """

    decrease: float = 0.1
    curvature: float = 0.9
    allowance: float = 1e-6
    max_evaluations: int = 50
    max_step: float = math.inf

    def __post_init__(self) -> None:
        check_constants("HagerZhang", self.decrease, self.curvature)
        check_limits("HagerZhang", self.max_evaluations, self.max_step)
        if not 0 <= self.allowance < math.inf:
            raise ValueError(
                f"HagerZhang(allowance={self.allowance}): give a number of at least 0."
            )

    def along(self, line: Line, at_zero: tuple[float, float], first: float) -> Found:
        """The step to take; see `LineSearch`."""
        trials = Trials(line, at_zero, self.max_evaluations)
        alpha = checked_first("HagerZhang", first, self.max_step)
        if trials.hopeless:
            return trials.given_up(trials.hopeless)
        ground = Ground(trials.start, self._rise(trials))
        asking = secant_squared.trials(ground, alpha, self.max_step)
        alpha = next(asking)
        while not trials.spent:
            trial = trials(alpha)
            if trial.finite and self._holds(trial, ground):
                return trials.found(trial, "satisfied")
            try:
                alpha = asking.send(trial)
            except StopIteration:
                return trials.given_up("rounding")
        return trials.given_up()

    def _rise(self, trials: Trials) -> float:
        return max(self.allowance * abs(trials.start.value), trials.noise(trials.start))

    def _holds(self, trial: Point, ground: Ground) -> bool:
        start, c1, c2 = ground.start, self.decrease, self.curvature
        if wolfe(trial, start, c1, c2):
            return True
        if trial.value <= ground.ceiling and approximate_wolfe(trial, start, c1, c2):
            return True
        return trial.alpha >= self.max_step and armijo(trial, start, c1) and trial.slope < 0
