"""Landscapes that are seen through noise: each look at the loss shows a random batch of it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Generator, Tensor

from thalweg.landscapes.landscape import Landscape

Sample = Callable[[Tensor, int, Generator | None], Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class StochasticLandscape(Landscape):
    """A landscape that is the mean of a random one.

    Attributes:
        sample: The loss on one random batch: `sample(w, batch, generator)` takes points of shape
            (..., n), which all see the same batch, and gives values of shape (...). Its mean, and
            the mean of its gradient, are the landscape's.
        gradient_covariance: The covariance of the gradient on a batch of one at a point of shape
            (n,), of shape (n, n). On a batch of B it is 1 / B of that.
    """

    sample: Sample
    gradient_covariance: Callable[[Tensor], Tensor]
