r"""The two ends of a spectrum, with what is proved about them.

Three statements of different strength go with a Ritz pair (theta, y), residual r = A y - theta y:

* *Some* eigenvalue lies within |r| of theta: a fact (`Eigenpair.error` bounds |r|, and includes
  the rounding of the products).
* lambda_max >= theta_max and lambda_min <= theta_min: a fact, up to rounding. So a theta_min below
  zero by more than rounding proves negative curvature, along y, however large its residual;
  theta_min + error < 0 proves in addition that one such eigenvalue is near theta_min.
* No eigenvalue lies above `upper` or below `lower`: this no number of products short of n can
  prove. It holds for all but a share `FAILURE` of the random start vectors, at either end.

The last bound uses the run itself (van Dorsselaer, Hochstenbach & van der Vorst, *SIAM J. Matrix
Anal. Appl.* 22, 2000). After m products the Lanczos polynomial p(x) = prod (x - theta_j) has
|p(A) b| = prod beta_j for the unit start b. An eigenvector u with u.b = c contributes
|c| |p(lambda)|; so an eigenvalue at distance d above theta_max has

    prod_j (d + theta_max - theta_j)  <=  prod_j beta_j / |c|,

and |c| < t has a chance of at most t sqrt(2n / pi). Where the space closed by rounding alone, beta
is taken as that rounding.
"""

import math
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

# Share of the start vectors for which `upper`, or `lower`, may be wrong.
FAILURE = 1e-6

# Share of |A| below which negative curvature is none.
NEGLIGIBLE = 1e-6

Ends = Literal["both", "largest", "smallest"]
Sign = Literal["negative", "positive", "none", "not proven"]


@final
@dataclass(frozen=True, eq=False)
class Eigenpair:
    """An eigenvalue and its direction.

    Attributes:
        value: theta, in units of the loss per squared unit of the parameters.
        error: an eigenvalue of the operator lies within this of `value`.
        vector: of length 1, flat, shape (n,); its sign is arbitrary.
        likely_error: the same if the eigenvalue stands alone, which is not proved; see
            `linalg.goal`. At most `error`.
    """

    value: float
    error: float
    vector: Tensor
    likely_error: float


@final
@dataclass(frozen=True, eq=False)
class Extremes:
    """The largest and smallest eigenvalues of an operator.

    Attributes:
        top: the k largest, descending; the largest alone if only the smallest were asked for.
        bottom: the k smallest, ascending; the smallest alone if only the largest were asked for.
        products: that it took.
        converged: whether every error asked for is within the tolerance.
        upper: no eigenvalue is larger, with probability at least 1 - 1e-6.
        lower: no eigenvalue is smaller, with probability at least 1 - 1e-6.
        rounding: what the products' rounding and asymmetry alone contribute to each error.
        psd: whether the operator was declared positive semidefinite.
        held: the most basis vectors held at a time.
        restarts: how often some of them were let go.
        memory: bytes of everything of the operator's size that was held at a time, at most; the
            operator's own not counted.
    """

    top: tuple[Eigenpair, ...]
    bottom: tuple[Eigenpair, ...]
    products: int
    converged: bool
    upper: float
    lower: float
    rounding: float
    psd: bool
    held: int
    restarts: int
    memory: int

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
        """Whether smallest.value + smallest.error < 0: an eigenvalue below zero is proved nearby.

        `sign` may know already that there is one somewhere, by a vector of negative curvature that
        is no eigenvector.
        """
        return self.smallest.value + self.smallest.error < 0

    @property
    def sign(self) -> Sign:
        """What is known of the smallest eigenvalue.

        "negative": proved, since v'Av < 0 beyond rounding for the unit vector v of `smallest`.
        "positive": the operator is positive definite.
        "none": no negative curvature beyond a millionth of |A|; a zero eigenvalue is possible.
        "not proven": none of these; more products may tell. All but "negative" rest on `lower`
        or on the operator's declared fact ``psd``.
        """
        size = max(abs(self.largest.value), abs(self.smallest.value))
        return sign(self.smallest.value, self.rounding, self.lower, size, self.psd)


def sign(value: float, rounding: float, lower: float, size: float, psd: bool) -> Sign:
    """What is known of the smallest eigenvalue; see `Extremes.sign`.

    Args:
        value: v'Av of a unit vector v.
        rounding: by which it may be wrong.
        lower: no eigenvalue is smaller.
        size: |A|.
        psd: whether the operator was declared positive semidefinite.
    """
    if value + rounding < 0:
        return "negative"
    if lower > 0:
        return "positive"
    return "none" if psd or lower >= -NEGLIGIBLE * size else "not proven"


def overshoot(distances: Tensor, betas: Tensor, size: int, failure: float = FAILURE) -> float:
    """How far beyond an end of the Ritz values an eigenvalue may lie, but for a share `failure`.

    Args:
        distances: of the Ritz values from that end, at least 0, shape (m,).
        betas: of the same m products.
        size: n.

    Solves the module's inequality for d, by bisection; the returned d satisfies it no longer.
    """
    if float(betas.min()) == 0:
        return 0.0
    odds = math.sqrt(2 * size / math.pi) / failure
    bound = float(betas.log().sum()) + math.log(odds)
    low, high = 0.0, math.exp(bound / len(betas))
    for _ in range(60):
        middle = (low + high) / 2
        if float((middle + distances).log().sum()) > bound:
            high = middle
        else:
            low = middle
    return high
