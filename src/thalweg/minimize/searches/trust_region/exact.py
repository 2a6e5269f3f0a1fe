r"""The model's minimum within the radius, exactly.

d minimizes m(d) = g'd + d'Bd/2 over |d| <= Delta if and only if, for a multiplier lambda >= 0,

    (B + lambda I) d = -g,   B + lambda I is positive semidefinite,   lambda (Delta - |d|) = 0.

With B = Q diag(b) Q', c = Q'g and mu = lambda + b_1 counted from the smallest eigenvalue, so that
nothing cancels near it:

    d(mu) = -Q (c_i / (b_i - b_1 + mu)),      1/Delta - 1/|d(mu)| = 0

is solved by Newton's method, which on this concave function comes from below and never passes the
root. The hard case is c_1 = 0, where |d(0)| may be below Delta: then d(0) + tau q_1 is the answer,
on the boundary. What of c is below its rounding counts as zero. The model's decrease,

    -m(d) = (c'(B + lambda I)^-1 c + lambda |d|^2) / 2,

is added up from terms that are all at least 0, so that it has its digits in a narrow valley too.

J. More & D. Sorensen, *SIAM J. Sci. Stat. Comput.* 4 (1983), whose Cholesky factors are replaced by
a spectral decomposition: it shows the hard case, and serves all radii at one place. Cost: n
products to write B down and about 9 n^3 operations, once for all radii at one place.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.products import dot, length
from thalweg.minimize.contract import TrialStep
from thalweg.minimize.searches.trust_region.model import posed, to_boundary
from thalweg.minimize.searches.trust_region.remembered import Remembered
from thalweg.operators import Operator

EPS = torch.finfo(torch.float64).eps
# Newton's method needs three or four; next to the hard case some more, from far below the root.
MAX_STEPS = 100
# Curvature that bends the model by less than this share within the radius is none.
NEGLIGIBLE = 1e-100


@final
class Exact:
    """The model's minimum within the radius, of a matrix that is written down.

    Args:
        max_size: the largest n for which that is done.

    Raises:
        ValueError: `max_size` below 1.
    """

    def __init__(self, max_size: int = 2000) -> None:
        self._spectrum = Remembered(Spectrum.of, "Exact", max_size)

    def step(self, model: Operator, gradient: Tensor, radius: float) -> TrialStep:
        """The step; see `contract.Subproblem`. It leaves a saddle even where the gradient is zero.

        Raises:
            TypeError, ValueError: a problem that makes no sense; see `trust_region.model`.
            FloatingPointError: the model is not finite.
        """
        posed("Exact", model, gradient, radius)
        spectrum, taken = self._spectrum(model)
        g = gradient.double()
        d, decrease, boundary = spectrum.minimum(g, radius)
        negative = spectrum.vectors[:, 0] if spectrum.negative else None
        return TrialStep(
            vector=d.to(gradient.dtype),
            decrease=decrease,
            on_boundary=boundary,
            products=taken,
            negative=None if negative is None else negative.to(gradient.dtype),
        )


@final
@dataclass(frozen=True, eq=False)
class Spectrum:
    """B = Q diag(b) Q' in float64.

    Attributes:
        values: b, ascending, shape (n,).
        vectors: Q, shape (n, n).
    """

    values: Tensor
    vectors: Tensor

    @staticmethod
    def of(entries: Tensor) -> "Spectrum":
        """The decomposition of B."""
        return Spectrum(*torch.linalg.eigh(entries))

    @property
    def size(self) -> float:
        """|B|."""
        return float(self.values.abs().max())

    @property
    def rounding(self) -> float:
        """Within which the eigenvalues are known."""
        return len(self.values) * EPS * self.size

    @property
    def negative(self) -> bool:
        """Whether the smallest eigenvalue is below zero."""
        return float(self.values[0]) < -self.rounding

    def minimum(self, g: Tensor, radius: float) -> tuple[Tensor, float, bool]:
        """The model's minimum within the radius, -m there, and whether it lies on the boundary.

        Gradient and matrix are divided by their sizes, so that nothing under- or overflows.
        """
        steepness = length(g) or self.size * radius or 1.0
        bend = max(self.size, NEGLIGIBLE * steepness / radius)
        c = cleaned(self.vectors.T @ (g / steepness))
        unit = steepness / bend
        d, multiplier, boundary = bounded(self.values / bend, c, radius / unit)
        decrease = (-dot(c, d) + multiplier * dot(d, d)) / 2
        return self.vectors @ (unit * d), steepness * unit * decrease, boundary


def cleaned(c: Tensor) -> Tensor:
    """c, of length 1 or 0, with zero for what is below its rounding."""
    return torch.where(c.abs() <= len(c) * EPS, torch.zeros_like(c), c)


def bounded(b: Tensor, c: Tensor, radius: float) -> tuple[Tensor, float, bool]:
    """The d that minimizes c'd + d'diag(b)d/2 over |d| <= radius, lambda, whether |d| = radius.

    Args:
        b: ascending, at most 1 in absolute value, shape (n,).
        c: shape (n,).
        radius: above zero.
    """
    least = float(b[0])
    gaps = b - b[0]
    definite = least > len(b) * EPS
    d = stationary(gaps, c, least if definite else 0.0)
    if length(d) > radius:
        d, mu = on_sphere(gaps, c, radius, least if definite else 0.0)
        return d, max(mu - least, 0.0), True
    if least < -len(b) * EPS:
        return along_least(d, radius), -least, True
    return d, 0.0, False


def stationary(gaps: Tensor, c: Tensor, mu: float) -> Tensor:
    """d(mu); zero where c is."""
    return torch.where(c == 0, c, -c / (gaps + mu))


def on_sphere(gaps: Tensor, c: Tensor, radius: float, mu: float) -> tuple[Tensor, float]:
    """d(mu) of length `radius` with its mu, which is larger than the one given.

    |d| is at least |c_i| / (gap_i + mu) for each i, which bounds the root from below.
    """
    mu = max(mu, float((c.abs() / radius - gaps).max()))
    for _ in range(MAX_STEPS):
        d = stationary(gaps, c, mu)
        size = length(d)
        slope = float((torch.where(d == 0, d, (d / size) ** 2 / (gaps + mu))).sum())
        further = mu + (size / radius - 1) / slope
        if not further > mu:
            break
        mu = further
    return d, mu


def along_least(d: Tensor, radius: float) -> Tensor:
    """d + tau e_1 on the boundary: the hard case."""
    first = torch.zeros_like(d)
    first[0] = 1.0
    return d + to_boundary(d, first, radius) * first
