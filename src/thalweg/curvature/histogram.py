"""A spectrum's density as counts of eigenvalues in bins, and those that stand apart by themselves.

The bins are of equal width from the smallest value seen to the largest. The *bulk* is the fullest
bin with all that is joined to it; an eigenvalue beyond the first empty bin on either side, known
one by one, is an *outlier*. A bulk of less than half of the eigenvalues is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch

from thalweg.linalg.extremes import Extremes
from thalweg.linalg.spectral_density import SpectralDensity

BINS = 60
EMPTY = 0.5  # fewer eigenvalues than this are none


@final
@dataclass(frozen=True)
class Histogram:
    """Eigenvalues counted in bins.

    Attributes:
        edges: of the bins, ascending, one more than there are bins.
        counts: estimated eigenvalues in each; they sum to the operator's size.
        outliers: (value, error) of the eigenvalues that stand apart from the bulk, ascending.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    outliers: tuple[tuple[float, float], ...]


def histogram(
    density: SpectralDensity, extremes: Extremes | None = None, bins: int = BINS
) -> Histogram:
    """The eigenvalues of `density` in bins.

    Args:
        density: where they lie.
        extremes: the ends, if a run of their own has found them further out.
        bins: how many.

    Raises:
        ValueError: fewer than 3 bins.
    """
    if bins < 3:
        raise ValueError(f"histogram(bins={bins}): give at least 3.")
    known = known_ones(density, extremes)
    edges = edges_of([*density.span, *(value for value, _ in known)], bins, density.rounding)
    below = density.size * density.cdf(torch.tensor(edges[1:-1], dtype=torch.float64))
    sums = [0.0, *below.tolist(), float(density.size)]
    counts = [max(0.0, b - a) for a, b in pairwise(sums)]
    low, high = bulk(edges, counts)
    outliers = tuple(one for one in known if not low <= one[0] <= high)
    return Histogram(tuple(edges), tuple(counts), outliers)


def known_ones(density: SpectralDensity, extremes: Extremes | None) -> list[tuple[float, float]]:
    """(value, error) of the eigenvalues known one by one, ascending."""
    pairs = list(zip(density.atoms.tolist(), density.atom_errors.tolist(), strict=True))
    low, high = density.span
    for end in (extremes.smallest, extremes.largest) if extremes else ():
        if not low - end.error <= end.value <= high + end.error:
            pairs.append((end.value, end.error))
    return sorted(pairs)


def edges_of(values: list[float], bins: int, rounding: float) -> list[float]:
    """From the smallest value to the largest; around them where bins would divide rounding only.

    Args:
        values: of the eigenvalues.
        bins: how many.
        rounding: of a value, as a share of the largest by absolute value.
    """
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if high - low <= bins * rounding * size:
        room = size / 2 or 0.5
        low, high = low - room, high + room * (1 + 2 / bins)  # in the middle of a bin
    return [low + (high - low) * i / bins for i in range(bins)] + [high]


def bulk(edges: list[float], counts: list[float]) -> tuple[float, float]:
    """From where to where there are eigenvalues without an empty bin, around the fullest bin.

    All there is, where those are less than half of them.
    """
    first = last = max(range(len(counts)), key=lambda i: counts[i])
    while first > 0 and counts[first - 1] >= EMPTY:
        first -= 1
    while last < len(counts) - 1 and counts[last + 1] >= EMPTY:
        last += 1
    if sum(counts[first : last + 1]) < sum(counts) / 2:
        return edges[0], edges[-1]
    return edges[first], edges[last + 1]
