r"""Inertia: how many eigenvalues of an operator are negative, zero and positive.

A matrix with no more rows than the products allowed is written down, and its eigenvalues counted.
Otherwise one long Lanczos run from a Gaussian start vector g says two things:

* *At least* as many eigenvalues are negative as Ritz values are (Courant-Fischer): a fact, up to
  rounding, but a small part of the truth.
* *About* n |P g|^2 / |g|^2 are, with P the projector on the negative ones. The run bounds |P g|^2
  (`linalg.share_below`), and its distribution over g is known exactly (`linalg.beta`), so together
  they give an interval that holds with the stated confidence. It is as wide as the run is short
  where many eigenvalues crowd around zero, as a network's do: there the sign of the crowd is what
  no short run can see, and a larger `negligible` may be the better question.

One long run says more than several short ones, unless it ends early because the start has few
distinct eigenvalues to see; then others follow.

E. Di Napoli, E. Polizzi & Y. Saad, *Numer. Linear Algebra Appl.* 23 (2016), on counting eigenvalues
by random vectors; B. Ghorbani, S. Krishnan & Y. Xiao, arXiv 1901.10159, on networks' spectra.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.beta import ranks
from thalweg.linalg.extremes import NEGLIGIBLE
from thalweg.linalg.krylov import Krylov
from thalweg.linalg.lanczos import check_operator
from thalweg.linalg.share_below import share_below
from thalweg.operators import Operator

# Units of rounding that a dense matrix's eigenvalues are good to.
DENSE_UNITS = 8


@final
@dataclass(frozen=True)
class Count:
    """A number of eigenvalues.

    Attributes:
        at_least: proved.
        at_most: proved.
        low: the number is at least this, with the confidence asked for.
        high: the number is at most this, likewise.
        estimate: the likeliest number; not rounded.
    """

    at_least: int
    at_most: int
    low: int
    high: int
    estimate: float


@final
@dataclass(frozen=True)
class Inertia:
    """How many eigenvalues lie below, about and above zero.

    Attributes:
        negative: below -threshold.
        zero: in between.
        positive: above threshold.
        threshold: in the operator's units, rounding at least; an eigenvalue within rounding of it
            may be counted on either side.
        exact: whether the eigenvalues were counted one by one.
        confidence: of each interval by itself; of none where they were counted.
        products: that it took.
    """

    negative: Count
    zero: Count
    positive: Count
    threshold: float
    exact: bool
    confidence: float
    products: int


def inertia(
    operator: Operator,
    *,
    negligible: float = NEGLIGIBLE,
    max_products: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> Inertia:
    """How many eigenvalues of `operator` are negative, zero and positive.

    Args:
        operator: symmetric, n x n.
        negligible: share of |A| within which an eigenvalue counts as zero.
        max_products: with so many rows or fewer, the operator is written down (n^2 numbers);
            else it is the length of the run, which holds as many vectors.
        confidence: that each interval holds the true number.
        seed: of the random vectors; the program's own random state is not touched.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: an argument is out of its domain.
        FloatingPointError: a product is not finite.
    """
    check_operator("inertia", operator)
    check_domain(negligible, max_products, confidence)
    if operator.size <= max_products:
        return counted(operator, negligible, confidence)
    return estimated(operator, negligible, max_products, confidence, seed)


def counted(operator: Operator, negligible: float, confidence: float) -> Inertia:
    """The inertia of a matrix that is written down."""
    entries = operator.to_dense().double()
    if not bool(entries.isfinite().all()):
        raise FloatingPointError(
            f"{operator.name} is not finite in {int((~entries.isfinite()).sum())} of its entries: "
            "the curvature has no value here. Go back to parameters with a finite loss."
        )
    values = torch.linalg.eigvalsh((entries + entries.T) / 2)
    size = float(values.abs().max())
    rounding = DENSE_UNITS * torch.finfo(operator.dtype).eps * size
    threshold = max(negligible * size, rounding + float((entries - entries.T).norm()) / 2)
    below, above = int((values < -threshold).sum()), int((values > threshold).sum())
    numbers = (below, operator.size - below - above, above)
    negative, zero, positive = (Count(k, k, k, k, float(k)) for k in numbers)
    return Inertia(negative, zero, positive, threshold, True, confidence, operator.size)


def estimated(
    operator: Operator, negligible: float, max_products: int, confidence: float, seed: int
) -> Inertia:
    """The inertia from runs of Lanczos."""
    runs = list(probed(operator, max_products, seed))
    size = max(float(run.values.abs().max()) for run in runs)
    rounding = max(run.krylov.rounding for run in runs)
    threshold = max(negligible * size, rounding)
    certain = proved(runs, threshold + rounding, operator.size)
    kept = shares(runs, threshold)
    negative, zero, positive = (
        count(known, share, operator.size, len(runs), 1 - confidence)
        for known, share in zip(certain, kept, strict=True)
    )
    products = sum(run.krylov.products for run in runs)
    return Inertia(negative, zero, positive, threshold, False, confidence, products)


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """A run of Lanczos from a Gaussian vector.

    Attributes:
        krylov: where it ended.
        weight: the square of the vector's length.
        values: the Ritz values.
    """

    krylov: Krylov
    weight: float
    values: Tensor


def probed(operator: Operator, products: int, seed: int) -> Iterator[Probe]:
    """One run of so many products, or several that close earlier."""
    generator = torch.Generator().manual_seed(seed)
    spent = longest = 0
    while spent == 0 or spent + longest <= products:
        start = torch.randn(operator.size, generator=generator, dtype=torch.float64)
        krylov = Krylov(operator, seed=seed, start=start.to(operator.device, operator.dtype))
        while not krylov.closed and spent < products:
            krylov.grow()
            spent += 1
        longest = max(longest, krylov.products)
        yield Probe(krylov, float(start.square().sum()), krylov.ritz().values)


def shares(runs: list[Probe], threshold: float) -> list[tuple[float, float]]:
    """Bounds on what the projectors on eigenvalues below, about and above zero keep of the starts.

    Each is a share of all the starts' squared lengths.
    """
    a, b = mean_share(runs, -threshold)
    c, d = mean_share(runs, threshold)
    return [(a, b), (max(0.0, c - b), d - a), (1 - d, 1 - c)]


def mean_share(runs: list[Probe], x: float) -> tuple[float, float]:
    """Bounds on the share of the starts' squared lengths that lies below `x`."""
    weights = torch.tensor([run.weight for run in runs], dtype=torch.float64)
    bounds = torch.tensor([share_below(run.krylov, x) for run in runs], dtype=torch.float64)
    low, high = ((weights / weights.sum()) @ bounds).tolist()
    return low, high


def proved(runs: list[Probe], beyond: float, size: int) -> list[tuple[int, int]]:
    """At least and at most how many eigenvalues lie below, about and above zero."""
    negative = max(int((run.values < -beyond).sum()) for run in runs)
    positive = max(int((run.values > beyond).sum()) for run in runs)
    zero = (0, size - negative - positive)
    return [(negative, size - positive), zero, (positive, size - negative)]


def count(
    certain: tuple[int, int], share: tuple[float, float], size: int, vectors: int, failure: float
) -> Count:
    """What is proved, and what the share that the projector keeps makes likely within it."""
    likely = ranks(*share, size, vectors, failure)
    low, high = (min(max(k, certain[0]), certain[1]) for k in likely)
    middle = size * sum(share) / 2
    return Count(*certain, low, high, min(max(middle, low), high))


def check_domain(negligible: float, max_products: int, confidence: float) -> None:
    """Raise ValueError on an argument of `inertia` out of its domain."""
    if not 0 <= negligible < 1:
        raise ValueError(f"inertia(negligible={negligible}): give a share of |A|, from 0 to 1.")
    if max_products < 1:
        raise ValueError(f"inertia(max_products={max_products}): it takes at least one product.")
    if not 0 < confidence < 1:
        raise ValueError(f"inertia(confidence={confidence}): give a chance between 0 and 1.")
