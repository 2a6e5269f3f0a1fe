r"""The two ends of a spectrum, with what is proved about them.

Three statements of different strength go with a Ritz pair (theta, y), residual r = A y - theta y:

* *Some* eigenvalue lies within |r| of theta: a fact (`Eigenpair.error` bounds |r|, and includes
  the rounding of the products).
* lambda_max >= theta_max and lambda_min <= theta_min: a fact, up to rounding. So a negative
  theta_min + error proves negative curvature.
* lambda_max <= theta_max + margin, lambda_min >= theta_min - margin: this no number of products
  short of n can prove. It holds for all but a share `FAILURE` of the random start vectors.

The margin is Kuczynski & Wozniakowski's bound (*SIAM J. Matrix Anal. Appl.* 13, 1992). After m
products, the chance that the relative error eps of an end, in units of the spectrum's width,
is exceeded is at most  sqrt(2n/pi) / sinh((2m - 1) artanh(sqrt(eps))). It holds for the worst
spectrum; on most, `error` is the better guide.
"""

import math
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

# Share of the start vectors for which `margin` may be too small, at either end.
FAILURE = 1e-6

Sign = Literal["negative", "positive", "none", "not proven"]


@final
@dataclass(frozen=True, eq=False)
class Eigenpair:
    """An eigenvalue and its direction.

    Attributes:
        value: theta, in units of the loss per squared unit of the parameters.
        error: an eigenvalue of the operator lies within this of `value`.
        vector: of length 1, flat, shape (n,); its sign is arbitrary.
    """

    value: float
    error: float
    vector: Tensor


@final
@dataclass(frozen=True, eq=False)
class Extremes:
    """The largest and smallest eigenvalues of an operator.

    Attributes:
        top: the k largest, descending.
        bottom: the k smallest, ascending.
        products: that it took.
        converged: whether every error is within the tolerance asked for.
        margin: how far the true ends may lie outside [smallest, largest], with probability at
            least 1 - 2e-6; 0 when the space was exhausted, infinite when nothing can be said.
        rounding: what the products' rounding and asymmetry alone contribute to each error.
        psd: whether the operator was declared positive semidefinite.
    """

    top: tuple[Eigenpair, ...]
    bottom: tuple[Eigenpair, ...]
    products: int
    converged: bool
    margin: float
    rounding: float
    psd: bool

    @property
    def largest(self) -> Eigenpair:
        """The largest eigenvalue found."""
        return self.top[0]

    @property
    def smallest(self) -> Eigenpair:
        """The smallest eigenvalue found."""
        return self.bottom[0]

    @property
    def negative_curvature(self) -> bool:
        """Whether negative curvature is proved: smallest.value + smallest.error < 0."""
        return self.smallest.value + self.smallest.error < 0

    @property
    def sign(self) -> Sign:
        """What is known of the smallest eigenvalue.

        "negative": proved, see `negative_curvature`. "positive": the operator is positive definite.
        "none": no negative curvature, down to rounding; a zero eigenvalue is possible.
        "not proven": none of these; more products may tell. All but "negative" rest on the margin
        or on the operator's declared fact ``psd``.
        """
        floor = self.smallest.value - self.smallest.error - self.margin
        if self.negative_curvature:
            return "negative"
        if floor > 0:
            return "positive"
        # Two roundings: one of the value itself, one that its error already counts.
        return "none" if self.psd or floor >= -2 * self.rounding else "not proven"


def share_missed(size: int, products: int, failure: float) -> float:
    """The eps of the formula above whose chance is `failure`: from 0 to 1, of the width."""
    odds = math.sqrt(2 * size / math.pi) / failure
    return math.tanh(math.asinh(odds) / (2 * products - 1)) ** 2


def margin_of_ends(width: float, size: int, products: int) -> float:
    """How far the ends may lie outside a Ritz spectrum of `width`, but for a share `FAILURE`.

    The share missed is one of the true width, which itself exceeds the one seen by twice as much.
    """
    share = share_missed(size, products, FAILURE)
    return share * width / (1 - 2 * share) if share < 0.5 else math.inf
