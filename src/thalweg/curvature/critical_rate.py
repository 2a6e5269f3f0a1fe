r"""Critical sharpness: how far the optimizer's own step may be stretched before the loss rises.

Let L(s) be the loss at  theta + s * update,  s = 1 being the step that the optimizer took with its
learning rate lr. The critical scale is the smallest s > 0 with L(s) > L(0); then s * lr is the
critical learning rate and 2 / (s * lr) the critical sharpness. A scale below 1 says that the step
taken raised the loss of its own batch: the learning rate is too high for it. It needs forward
passes alone, about eight, and knows nothing of the optimizer.

Kalra et al., *A scalable measure of loss landscape curvature for analyzing the training dynamics of
LLMs* (arXiv 2601.16979). On a quadratic along a descent direction d it is exactly
2 |g.d| / d.H.d; for gradient descent the critical sharpness is the curvature along the gradient,
at most the largest eigenvalue.

The search doubles or halves s from 1 until the loss has crossed L(0), then bisects in log s. It
finds the first crossing on that grid: a loss that rises and falls back between two tries is not
seen. The loss rises, or falls, only where it differs from L(0) by more than its own rounding; and
a crossing is one only if the loss fell before it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch

# Sums of many terms round to a few units in the last place.
ROUNDING_UNITS = 8


@final
@dataclass(frozen=True)
class CriticalRate:
    """The critical scale of a step.

    Attributes:
        scale: the critical s, the geometric middle of the bracket; 0 when censored "below",
            infinite when censored "above".
        lower: largest s tried below the crossing; 0 if the loss fell at none of them.
        upper: smallest s tried at which it rose (infinite if it never did).
        evaluations: of the loss.
        censored: None when the crossing is bracketed; "below" when the loss rose at the smallest
            step at which anything could be told (no descent, or a learning rate too high by more
            than the range); "above" when it never rose within the range.
    """

    scale: float
    lower: float
    upper: float
    evaluations: int
    censored: Literal["below", "above"] | None

    def learning_rate(self, lr: float) -> float:
        """The critical learning rate, for a step that was taken with `lr`."""
        return self.scale * lr

    def sharpness(self, lr: float) -> float:
        """The critical sharpness 2 / (scale * lr), for a step that was taken with `lr`."""
        rate = self.learning_rate(lr)
        return 2 / rate if rate > 0 else math.inf


def critical_rate(
    loss_along: Callable[[float], float],
    *,
    doublings: int = 10,
    bisections: int = 3,
    dtype: torch.dtype = torch.float32,
) -> CriticalRate:
    """The critical scale of a step, bracketed within a ratio of 2 ** (1 / 2 ** bisections).

    Args:
        loss_along: s -> the loss at theta + s * update, deterministic; a value that is not finite
            counts as exceeding.
        doublings: k; s stays within [2^-k, 2^k].
        bisections: of the factor-of-two bracket; 3 give the scale to within 5 %.
        dtype: precision in which the loss is computed; differences below 8 units of its rounding,
            relative to L(0), decide nothing.

    Raises:
        ValueError: L(0) is not finite, or an option is out of its domain.

    Cost: 2 evaluations, one for each doubling or halving, and the bisections.
    """
    check_options(doublings, bisections, dtype)
    start = float(loss_along(0.0))
    if not math.isfinite(start):
        raise ValueError(
            f"critical_rate: the loss before the step is {start}; there is nothing to exceed."
        )
    noise = ROUNDING_UNITS * torch.finfo(dtype).eps * abs(start)
    search = _Search(lambda s: float(loss_along(s)) - start, noise)
    search.bracket(2.0**-doublings, 2.0**doublings)
    search.narrow(bisections)
    return search.result()


@final
class _Search:
    """What was tried: s, and whether the loss there rose (1), fell (-1) or did neither (0)."""

    def __init__(self, rise: Callable[[float], float], noise: float) -> None:
        self._rise = rise
        self._noise = noise
        self._tried: dict[float, int] = {}

    def _try(self, s: float) -> None:
        rise = self._rise(s)
        rose = not math.isfinite(rise) or rise > self._noise
        self._tried[s] = 1 if rose else -int(rise < -self._noise)

    @property
    def _upper(self) -> float:
        return min((s for s, change in self._tried.items() if change > 0), default=math.inf)

    @property
    def _lower(self) -> float:
        """Largest s below the crossing, if it is one: something must have fallen before it."""
        before = {s: change for s, change in self._tried.items() if s < self._upper}
        return max(before) if -1 in before.values() else 0.0

    @property
    def _censored(self) -> Literal["below", "above"] | None:
        if math.isinf(self._upper):
            return "above"
        return "below" if self._lower == 0 else None

    def bracket(self, smallest: float, largest: float) -> None:
        """From s = 1 up until the loss rises; then, if it fell nowhere, down until it falls."""
        s = 1.0
        self._try(s)
        while math.isinf(self._upper) and s < largest:
            s *= 2
            self._try(s)
        s = 1.0
        while self._censored == "below" and s > smallest:
            s /= 2
            self._try(s)

    def narrow(self, bisections: int) -> None:
        """Halve the bracket in log s, where there is one."""
        for _ in range(bisections):
            if self._censored is None:
                self._try(math.sqrt(self._lower) * math.sqrt(self._upper))

    def result(self) -> CriticalRate:
        middle = math.sqrt(self._lower) * math.sqrt(self._upper)
        return CriticalRate(
            scale={"above": math.inf, "below": 0.0, None: middle}[self._censored],
            lower=self._lower,
            upper=self._upper,
            evaluations=1 + len(self._tried),
            censored=self._censored,
        )


def check_options(doublings: int, bisections: int, dtype: torch.dtype) -> None:
    """Raise ValueError on an option of `critical_rate` out of its domain."""
    if not 1 <= doublings <= 100:
        raise ValueError(f"critical_rate(doublings={doublings}): give a number from 1 to 100.")
    if bisections < 0:
        raise ValueError(f"critical_rate(bisections={bisections}): give 0 or more.")
    if not dtype.is_floating_point:
        raise ValueError(f"critical_rate(dtype={dtype}): give the loss's own floating point type.")
