r"""How differently an operator curves in different directions: its condition number.

**The condition number** of a matrix that may be indefinite or of low rank is taken over its
numerically non-null space:

    kappa = max |lambda| / min { |lambda| : |lambda| > threshold },

where the threshold is the rounding of the products, or what the caller sets. An eigenvalue below
it cannot be told from 0. With all eigenvalues at hand kappa is exact to that rounding; from fewer
products than n a Lanczos run gives a lower bound that is proved: each Ritz pair has an eigenvalue
within its error, so that

    kappa >= (theta_max - error) / (theta_min + error).

The smallest |lambda| lies inside the spectrum of an indefinite operator, where a Krylov space
arrives last; an upper bound would need all n products, and none is claimed.

**Effective rank**: how many eigenvalues exceed the threshold, and the participation ratio
(sum |lambda|)^2 / sum lambda^2: n for a multiple of the identity, near the number of outliers for
a network.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.krylov import Krylov, Ritz
from thalweg.linalg.probing import check_operator, check_products
from thalweg.linalg.spectral_density import exact_density, spectral_density
from thalweg.operators import Operator


@final
@dataclass(frozen=True)
class Condition:
    """The spread of an operator's non-null eigenvalues by absolute value.

    Attributes:
        number: kappa; the lower bound itself unless `exact`; nan where no eigenvalue is non-null.
        at_least: kappa is proved to be no smaller.
        exact: whether all eigenvalues were found; `number` then is kappa, to rounding.
        largest: the largest |lambda| found.
        smallest: the smallest |lambda| above the threshold that was found.
        threshold: |lambda| at most this counts as 0.
        rank: eigenvalues above the threshold; estimated, and not whole, unless `exact`.
        effective_rank: (sum |lambda|)^2 / sum lambda^2, estimated unless `exact`; 0 for A = 0.
        products: that it took.
    """

    number: float
    at_least: float
    exact: bool
    largest: float
    smallest: float
    threshold: float
    rank: float
    effective_rank: float
    products: int


def condition_number(
    operator: Operator,
    *,
    threshold: float | None = None,
    products: int = 200,
    seed: int = 0,
) -> Condition:
    """The condition number of `operator` over its numerically non-null space.

    Args:
        operator: symmetric, n x n; may be indefinite, and of any rank.
        threshold: |lambda| at most this counts as 0, in units of the eigenvalues; the rounding of
            the products if None.
        products: to take at most. With n of them the result is exact; else half look for extreme
            eigenvalues, half for the density.
        seed: of the random vectors; the program's own random state is not touched.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: a threshold below 0, or fewer than 40 products.
        FloatingPointError: a product is not finite.
    """
    check_operator("condition_number", operator)
    check_products("condition_number", products, 40, "both ends and the density")
    if threshold is not None and not 0 <= threshold < math.inf:
        raise ValueError(
            f"condition_number(threshold={threshold}): give a curvature that counts as none, at "
            "least 0, or None for the rounding of the products."
        )
    if operator.size <= products:
        return exact_condition(operator, threshold)
    return estimated_condition(operator, threshold, products, seed)


def exact_condition(operator: Operator, threshold: float | None) -> Condition:
    """From all eigenvalues."""
    found = exact_density(operator)
    sizes = found.atoms.abs()
    error = float(found.atom_errors.max())
    limit = max(error, threshold or 0.0)
    kept = sizes[sizes > limit]
    largest, smallest = ends(kept)
    return Condition(
        number=largest / smallest,
        at_least=(largest - error) / (smallest + error),
        exact=True,
        largest=float(sizes.max()),
        smallest=smallest,
        threshold=limit,
        rank=float(len(kept)),
        effective_rank=participation(sizes, torch.ones_like(sizes)),
        products=operator.size,
    )


def estimated_condition(
    operator: Operator, threshold: float | None, products: int, seed: int
) -> Condition:
    """From the Ritz values of one run, and the density of another."""
    krylov = Krylov(operator, seed=seed)
    while krylov.dimension < products // 2 and not krylov.closed:
        krylov.grow()
    ritz = krylov.ritz()
    density = spectral_density(operator, products=products - krylov.products, seed=seed)
    limit = max(krylov.rounding, threshold or 0.0)
    at_least, largest, smallest = proved(ritz, limit)
    nodes, weights = density.nodes_and_weights()
    counts = operator.size * weights
    return Condition(
        number=at_least,
        at_least=at_least,
        exact=False,
        largest=largest,
        smallest=smallest,
        threshold=limit,
        rank=float(counts[nodes.abs() > limit].sum()),
        effective_rank=participation(nodes.abs(), counts),
        products=krylov.products + density.products,
    )


def proved(ritz: Ritz, limit: float) -> tuple[float, float, float]:
    """The ratio that the Ritz pairs prove, and the two sizes that make it.

    A pair counts only where all within its error is beyond `limit`: its eigenvalue is non-null.
    """
    sizes, errors = ritz.values.abs(), ritz.errors
    sure = sizes - errors > limit
    if not bool(sure.any()):
        return math.nan, float(sizes.max()), math.nan
    large = float((sizes - errors)[sure].max())
    smallest = int((sizes + errors)[sure].argmin())
    small = float((sizes + errors)[sure][smallest])
    return max(large / small, 1.0), float(sizes.max()), float(sizes[sure][smallest])


def ends(sizes: Tensor) -> tuple[float, float]:
    """The largest and the smallest, or nan of none."""
    return (float(sizes.max()), float(sizes.min())) if len(sizes) else (math.nan, math.nan)


def participation(sizes: Tensor, counts: Tensor) -> float:
    """(sum |lambda|)^2 / sum lambda^2, each counted so often; 0 where all are 0."""
    peak = float(sizes.max())
    if peak == 0:
        return 0.0
    shares = sizes / peak
    return float((counts @ shares) ** 2 / (counts @ shares.square()))
