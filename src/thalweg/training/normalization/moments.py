"""Mean and covariance of data that come in batches, in one pass and without cancellation.

The textbook form, mean of squares less square of the mean, loses every digit where the mean is
large beside the deviation. Here each batch is centered by its own mean, and two batches are merged
by what their means differ (T. F. Chan, G. H. Golub & R. J. LeVeque, *Updating formulae and a
pairwise algorithm for computing sample variances*, Stanford STAN-CS-79-773, 1979):

    n = n_a + n_b,    delta = mean_b - mean_a,    mean = mean_a + delta n_b / n,
    S = S_a + S_b + delta delta^T n_a n_b / n,    S = sum (x - mean)(x - mean)^T.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """The first two moments of the rows of a table, in float64.

    Attributes:
        count: n, how many rows.
        mean: of each feature, (d,).
        scatter: S, the sum of squared deviations from the mean, (d,), or of their products, (d, d).
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @property
    def covariance(self) -> Tensor:
        """S / n: the variances, (d,), or the covariance matrix, (d, d)."""
        return self.scatter / self.count

    @property
    def variance(self) -> Tensor:
        """Of each feature, over n, (d,)."""
        return self.covariance if self.scatter.dim() == 1 else self.covariance.diagonal()


def moments(table: Tensor, together: bool = False) -> Moments:
    """The moments of the rows of `table`, (n, d) in float64; products of features if `together`."""
    mean = table.mean(0)
    rest = table - mean
    scatter = rest.T @ rest if together else rest.square().sum(0)
    return Moments(len(table), mean, scatter)


def merged(a: Moments, b: Moments) -> Moments:
    """The moments of two tables, one below the other; see the module."""
    n = a.count + b.count
    delta = b.mean - a.mean
    products = delta.square() if a.scatter.dim() == 1 else torch.outer(delta, delta)
    scatter = a.scatter + b.scatter + products * (a.count * b.count / n)
    return Moments(n, a.mean + delta * (b.count / n), scatter)


def gathered(parts: Iterable[Moments]) -> Moments | None:
    """The moments of all parts together; None of no parts."""
    held = iter(parts)
    first = next(held, None)
    return None if first is None else reduce(merged, held, first)
