"""Armijo's condition on one minibatch, with steps that grow again between minibatches.

Where a model can fit all samples, the gradient of each minibatch vanishes at the solution, and a
step that lowers the minibatch's own loss enough lowers the whole loss fast enough to converge like
full-batch descent, with no learning rate to choose:

    alpha_k <- growth alpha_(k-1);   while f_i(x - alpha_k g_i) > f_i(x) - c alpha_k |g_i|^2:
        alpha_k <- shrink alpha_k

S. Vaswani, A. Mishkin, I. Laradji, M. Schmidt, G. Gidel & S. Lacoste-Julien, *Painless Stochastic
Gradient*, NeurIPS 2019, algorithms 1 and 2; their growth is gamma^(b/n), of gamma = 2 an epoch. All
trials of one step are of the same minibatch i, with the same random numbers: that the line sees to.
"""

import math
from collections.abc import Mapping
from typing import Any, final

from thalweg.minimize.contract import Found, Line
from thalweg.minimize.searches.armijo import backtracked
from thalweg.minimize.searches.conditions import check_constants
from thalweg.minimize.searches.trials import Point, Trials, check_limits, checked_first

# The factor where the loss was not finite, which is far away more often than a little too far.
BLIND = 0.5


@final
class StochasticArmijo:
    """Armijo's condition on the minibatch at hand, starting from the last step.

    Args:
        decrease: c, the share of the promised decrease that is asked for; 0 < c < 1/2.
        shrink: the factor from a refused step to the next; between 0 and 1.
        growth: the factor from an accepted step to the first trial of the next minibatch, at least
            1: gamma^(b/n) for minibatches of b out of n samples.
        max_evaluations: of the line, a minibatch.
        max_step: the longest alpha.

    Attributes:
        step: the last step taken or tried; None before the first, which is the one proposed.

    Raises:
        ValueError: a constant out of its domain.
    """

    def __init__(
        self,
        decrease: float = 0.1,
        shrink: float = 0.9,
        growth: float = 2 ** (1 / 50),
        max_evaluations: int = 100,
        max_step: float = math.inf,
    ) -> None:
        check_constants("StochasticArmijo", decrease)
        check_factors(shrink, growth)
        check_limits("StochasticArmijo", max_evaluations, max_step)
        self.decrease, self.shrink, self.growth = decrease, shrink, growth
        self.max_evaluations, self.max_step = max_evaluations, max_step
        self.step: float | None = None

    def along(self, line: Line, at_zero: tuple[float, float], first: float) -> Found:
        """The step to take; see `LineSearch`. `first` counts only at the first call."""
        trials = Trials(line, at_zero, self.max_evaluations)
        first = checked_first("StochasticArmijo", first)
        alpha = first if self.step is None else self.growth * self.step
        found = backtracked(trials, min(alpha, self.max_step), self.decrease, self._shorter)
        if found.alpha > 0:
            self.step = found.alpha
        return found

    def _shorter(self, start: Point, trial: Point) -> float:
        return (self.shrink if trial.finite else min(self.shrink, BLIND)) * trial.alpha

    def state_dict(self) -> dict[str, Any]:
        """The last step, from which `load_state_dict` goes on exactly."""
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made."""
        self.step = state["step"]


def check_factors(shrink: float, growth: float) -> None:
    """Raise ValueError unless refused steps get shorter and accepted ones do not."""
    if not (0 < shrink < 1 <= growth < math.inf):
        raise ValueError(
            f"StochasticArmijo(shrink={shrink}, growth={growth}): refused steps need a factor "
            "between 0 and 1, accepted ones a factor of at least 1."
        )
