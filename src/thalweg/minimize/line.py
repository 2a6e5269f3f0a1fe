"""The loss along a direction, with the points that a step may end at."""

import math
from typing import final

import torch
from torch import Tensor

from thalweg.minimize.inner_product import dot
from thalweg.minimize.objective import Objective
from thalweg.minimize.place import Standing


@final
class Ray:
    """phi(alpha) = f(x + alpha d): `contract.Line`, which keeps the best point and the last.

    Args:
        objective: f.
        start: x, with the loss there.
        vector: d, shape (n,).
        allowed: evaluations, at most; beyond them phi is no number, so that every search ends.

    Attributes:
        evaluations: so far.
        exhausted: whether more were asked for than allowed.
        bottomless: whether the loss was minus infinity somewhere.

    Lower is better; where two losses differ by their rounding alone, the smaller gradient is.
    """

    def __init__(self, objective: Objective, start: Standing, vector: Tensor, allowed: int) -> None:
        self.start, self.vector = start, vector
        self.evaluations = 0
        self.exhausted = self.bottomless = False
        self._objective, self._allowed = objective, allowed
        self._best = self._last = (0.0, start)

    @property
    def eps(self) -> float:
        """The unit of rounding of the loss's precision."""
        return torch.finfo(self.start.x.dtype).eps

    def __call__(self, alpha: float) -> tuple[float, float]:
        """phi(alpha) and phi'(alpha), either of them infinite or no number where f is."""
        if self.evaluations >= self._allowed:
            self.exhausted = True
            return math.nan, math.nan
        self.evaluations += 1
        place = self._evaluated(alpha)
        slope = dot(place.gradient, self.vector)
        self._last = (alpha, place)
        self.bottomless |= place.value == -math.inf
        if is_better(place, self._best[1], self.eps):
            self._best = self._last
        return place.value, slope

    @property
    def best(self) -> tuple[float, Standing]:
        """The best point seen and its alpha; 0 and the start if no other is better."""
        return self._best

    def at(self, alpha: float) -> Standing:
        """The place at `alpha`; one evaluation more only if it is neither the best nor the last."""
        for known, place in (self._last, self._best, (0.0, self.start)):
            if known == alpha:
                return place
        return self._evaluated(alpha)

    def _evaluated(self, alpha: float) -> Standing:
        x = torch.add(self.start.x, self.vector, alpha=alpha)
        return Standing(self._objective, x, *self._objective.evaluate(x))


def is_better(place: Standing, than: Standing, eps: float) -> bool:
    """Whether `place` is lower than `than`, or as low to rounding with a smaller gradient."""
    if not place.finite:
        return False
    noise = 4 * eps * abs(than.value)
    if abs(place.value - than.value) <= noise:
        return place.size < than.size
    return place.value < than.value
