r"""The density of a spectrum: which share of the eigenvalues lies where.

Stochastic Lanczos quadrature: for a random unit vector b, E b'f(A) b = tr f(A) / n, and b's
spectral measure (`linalg.measure`) stands for the whole spectrum's. S. Ubaru, J. Chen & Y. Saad,
*Fast estimation of tr(f(A)) via stochastic Lanczos quadrature* (SIAM J. Matrix Anal. Appl. 38,
2017); for networks B. Ghorbani, S. Krishnan & Y. Xiao (ICML 2019).

A random vector sees an outlier, whose share is 1/n, with a weight as uncertain as 1/n is small: it
may be 0 or 5/n. So what has converged in the first run becomes an atom of weight exactly 1/n, the
first vector's measure stands for the rest without it, and later vectors see the rest only, whose
narrower range they resolve the better. Were an eigenvalue repeated, its node would be too heavy for
an atom (or its further copies a part of the rest).

The products are shared by as many vectors as the spectrum asks for (`linalg.sharing`): a network's
Hessian, whose spectrum has heavy tails, gets one long run, a broad spectrum several short ones.

Between nodes that stand for many eigenvalues the weight is spread, half way to the nearer neighbour
and no further than the residual allows.

**Errors.** For a unit vector uniform in N dimensions and a share F of them, b'f(A) b has variance
2 F (1 - F) / (N + 2), and for any f, with the mean and mean square over the spectrum,
2 (mean f^2 - (mean f)^2) / (N + 2). These are the standard errors given.

Memory: one vector of n numbers for each product of the longest run, and for each atom.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.basis import Basis
from thalweg.linalg.deflation import random_unit
from thalweg.linalg.estimate import Estimate, Sampling, interval, unit_rounding
from thalweg.linalg.krylov import Krylov
from thalweg.linalg.measure import Function, Measure, spectral_measure
from thalweg.linalg.probing import check_confidence, check_operator, check_products, work_dtype
from thalweg.linalg.sharing import balanced, single
from thalweg.linalg.student import MANY, t_quantile
from thalweg.operators import Operator


@final
@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """The distribution of an operator's n eigenvalues, as atoms and measures of the rest.

    Attributes:
        size: n.
        atoms: eigenvalues known one by one, ascending, of weight 1/n each; float64.
        atom_errors: an eigenvalue lies within this of each atom; float64.
        measures: of random vectors less the atoms' eigenvectors, each standing for the
            n - len(atoms) other eigenvalues; none where the atoms are all.
        products: that it took.
        rounding: of a product, as a share of its length.
    """

    size: int
    atoms: Tensor
    atom_errors: Tensor
    measures: tuple[Measure, ...]
    products: int
    rounding: float

    @property
    def rest(self) -> int:
        """N, the eigenvalues that are no atoms."""
        return self.size - len(self.atoms)

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and the largest value seen."""
        seen = torch.cat([self.atoms, *[measure.nodes for measure in self.measures]])
        return float(seen.min()), float(seen.max())

    def cdf(self, x: Tensor) -> Tensor:
        """The share of the eigenvalues that are at most x, float64, in the shape of x."""
        flat = x.detach().to("cpu", torch.float64).reshape(-1)
        known = torch.searchsorted(self.atoms, flat, right=True).double() / self.size
        return (known + self.rest / self.size * self._rest_below(flat)).reshape(x.shape)

    def cdf_standard_error(self, x: Tensor) -> Tensor:
        """Of `cdf`, over the random vectors; in the shape of x."""
        share = self._rest_below(x.detach().to("cpu", torch.float64).reshape(-1))
        error = (share * (1 - share)).clamp_min(0).sqrt() * self._sampling()
        return (self.rest / self.size * error).reshape(x.shape)

    def density(self, grid: Tensor, width: float | None = None) -> Tensor:
        """The density at each point of `grid`, smoothed by a Gaussian; integrates to 1.

        Args:
            grid: any shape, in units of the eigenvalues.
            width: the Gaussian's standard deviation; a hundredth of `span` if None.

        Raises:
            ValueError: `width` is not positive and finite.
        """
        width = self._default_width() if width is None else width
        if not 0 < width < math.inf:
            raise ValueError(
                f"density(width={width}): give the Gaussian's standard deviation, in units of the "
                "eigenvalues, above 0."
            )
        flat = grid.detach().to("cpu", torch.float64).reshape(-1)
        nodes, weights = self.nodes_and_weights()
        bells = torch.exp(-(((flat[:, None] - nodes) / width) ** 2) / 2)
        return (bells @ weights / (width * math.sqrt(2 * math.pi))).reshape(grid.shape)

    def nodes_and_weights(self) -> tuple[Tensor, Tensor]:
        """All nodes, ascending, and their weights, which sum to 1."""
        nodes, weights = [self.atoms], [torch.full_like(self.atoms, 1 / self.size)]
        for measure in self.measures:
            nodes.append(measure.nodes)
            weights.append(measure.weights * self.rest / self.size / len(self.measures))
        joined, order = torch.cat(nodes).sort()
        return joined, torch.cat(weights)[order]

    def trace_of(self, function: Function, *, confidence: float = 0.95) -> Estimate:
        """tr f(A), the sum of f over the eigenvalues, with an interval.

        Args:
            function: f, from eigenvalues, float64, shape (k,), to finite values of that shape. It
                is evaluated at nodes, which lie between the extreme eigenvalues.
            confidence: share of the seeds for which the interval is to hold the number. It adds
                to the sampling error how far the quadrature moved with its last quarter.

        Raises:
            ValueError: f is not finite at a node, or a confidence that is no share.
        """
        check_confidence("trace_of", confidence)
        known = float(checked(function)(self.atoms).sum()) if len(self.atoms) else 0.0
        means = [measure.integral(checked(function)) for measure in self.measures]
        doubts = [measure.doubt(checked(function)) for measure in self.measures]
        squares = [measure.integral(lambda x: function(x).square()) for measure in self.measures]
        value, error = known + self.rest * average(means), 0.0
        if self.measures:
            spread = max(average(squares) - average(means) ** 2, 0.0)
            error = self.rest * max(self._sampling() * math.sqrt(spread), spread_of(means))
        nodes, weights = self.nodes_and_weights()
        size = self.size * float(weights @ function(nodes).abs())
        doubt = self.rest * average(doubts) + self.rounding * size
        return interval(value, error, self._how(confidence, doubt))

    def count(self, low: float, high: float, *, confidence: float = 0.95) -> Estimate:
        """How many eigenvalues lie above `low` and up to `high`.

        The interval adds to the sampling error what the quadrature leaves open at either end
        (Chebyshev, Markov and Stieltjes).

        Raises:
            ValueError: `low` is not below `high`, or a confidence that is no share.
        """
        check_confidence("count", confidence)
        if not low < high:
            raise ValueError(f"count({low}, {high}): give the lower end first.")
        ends = torch.tensor([low, high], dtype=torch.float64)
        below = self.cdf(ends)
        value = self.size * float(below[1] - below[0])
        atoms = [(bound < self.atoms).double() for bound in (low, high)]
        sure = float((atoms[0] - atoms[1]).sum())
        share = (value - sure) / self.rest if self.rest else 0.0
        error = self.rest * self._sampling() * math.sqrt(max(share * (1 - share), 0.0))
        reach = t_quantile(confidence, MANY) * error
        least, most = self._open_ends(low, high)
        return Estimate(
            value,
            error,
            min(max(sure + self.rest * least - reach, 0.0), float(self.size)),
            min(sure + self.rest * most + reach, float(self.size)),
            confidence,
            self.products,
            self._method(),
        )

    def _open_ends(self, low: float, high: float) -> tuple[float, float]:
        """Between which the share of the rest in (low, high] lies, as the measures have it."""
        least, most = [], []
        for measure in self.measures:
            (a, b), (c, d) = measure.bounds(low), measure.bounds(high)
            least.append(max(c - b, 0.0))
            most.append(max(d - a, 0.0))
        return average(least), average(most)

    def _rest_below(self, x: Tensor) -> Tensor:
        if not self.measures:
            return torch.zeros_like(x)
        return torch.stack([measure.below(x) for measure in self.measures]).mean(0)

    def _sampling(self) -> float:
        """The standard error of a share of the rest, over sqrt(F (1 - F))."""
        return math.sqrt(2 / (self.rest + 2) / len(self.measures)) if self.measures else 0.0

    def _default_width(self) -> float:
        low, high = self.span
        return (high - low) / 100 or max(abs(high), 1.0) / 100

    def _method(self) -> str:
        return "lanczos quadrature" if self.measures else "exact"

    def _how(self, confidence: float, doubt: float) -> Sampling:
        # The variance comes from a formula in the whole measure: as good as known.
        return Sampling(confidence, self.products, self._method(), MANY, doubt)


@final
class Beside(Operator):
    """P A P, where P takes out the span of `basis`."""

    def __init__(self, operator: Operator, basis: Basis) -> None:
        self.name, self.size = operator.name, operator.size
        self.dtype, self.device, self.facts = operator.dtype, operator.device, operator.facts
        self._operator, self._basis = operator, basis

    def _product(self, vector: Tensor) -> Tensor:
        return self._less(self._operator @ self._less(vector))

    def _less(self, vector: Tensor) -> Tensor:
        return self._basis.orthogonalized(vector.to(self._basis.dtype))[0].to(vector.dtype)


def spectral_density(
    operator: Operator, *, products: int = 100, probes: int = 4, seed: int = 0
) -> SpectralDensity:
    """The distribution of the eigenvalues of `operator`.

    Args:
        operator: symmetric, n x n.
        products: to take at most; with n of them all eigenvalues are found, exactly.
        probes: random vectors at most. More make a share surer, fewer resolve finer; how many
            there are is chosen by the first one's measure.
        seed: of the random vectors; the program's own random state is not touched.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: no probe, or fewer than five products for each.
        FloatingPointError: a product is not finite.
    """
    check_operator("spectral_density", operator)
    if probes < 1:
        raise ValueError(f"spectral_density(probes={probes}): take at least one.")
    check_products("spectral_density", products, 5 * probes, f"probes={probes}")
    if operator.size <= products:
        return exact_density(operator)
    first, sharing = balanced(operator, products, probes, seed)
    # Fewer eigenvalues than products: they are repeated, which vectors less one of each will see.
    repeated = first.closed and products - first.products >= sharing
    found = single(first.ritz(), operator.size, every=repeated)
    measures = [] if repeated else [Measure.of(first).without(found)]
    atoms = Atoms.of(first, found)
    spent = first.products
    del first  # its basis
    generator = torch.Generator().manual_seed(seed + 1)
    steps = (products - spent) // max(1, sharing - len(measures))
    while len(measures) < sharing:
        start = random_unit(operator, atoms.basis, generator).to(operator.dtype)
        measure, taken = spectral_measure(Beside(operator, atoms.basis), start, steps)
        measures.append(measure)
        spent += taken
    rounding = unit_rounding(operator.dtype)
    return SpectralDensity(
        operator.size, atoms.values, atoms.errors, tuple(measures), spent, rounding
    )


@final
@dataclass(frozen=True, eq=False)
class Atoms:
    """Eigenvalues, ascending, within what they are known, and their vectors."""

    values: Tensor
    errors: Tensor
    basis: Basis

    @classmethod
    def of(cls, krylov: Krylov, found: Tensor) -> "Atoms":
        """Those Ritz pairs that `found`, boolean, says."""
        ritz, operator = krylov.ritz(), krylov.operator
        basis = Basis(operator.size, dtype=work_dtype(operator), device=operator.device)
        for weights in ritz.weights[:, found].unbind(1):
            basis.append(krylov.vector(weights).to(basis.dtype))
        return cls(ritz.values[found], ritz.errors[found], basis)


def exact_density(operator: Operator) -> SpectralDensity:
    """All eigenvalues, from the matrix itself."""
    dense = operator.to_dense().double().cpu()
    atoms = torch.linalg.eigvalsh((dense + dense.T) / 2)
    rounding = unit_rounding(operator.dtype)
    errors = torch.full_like(atoms, rounding * math.sqrt(len(atoms)) * float(atoms.abs().max()))
    return SpectralDensity(len(atoms), atoms, errors, (), len(atoms), rounding)


def trace_of(
    operator: Operator,
    function: Function,
    *,
    products: int = 100,
    probes: int = 4,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """tr f(A), such as a log-determinant; `spectral_density` and its `trace_of` in one."""
    found = spectral_density(operator, products=products, probes=probes, seed=seed)
    return found.trace_of(function, confidence=confidence)


def checked(function: Function) -> Function:
    """`function`, refused where its values are not finite."""

    def finite(x: Tensor) -> Tensor:
        values = function(x)
        if values.shape != x.shape or not bool(torch.isfinite(values).all()):
            raise ValueError(
                "trace_of(function): it must map eigenvalues, a tensor of shape (k,), to finite "
                "values of that shape, and does not; a logarithm wants a shift, such as "
                "lambda x: (x + damping).log(), where eigenvalues may be 0 or below."
            )
        return values

    return finite


def average(values: Sequence[float]) -> float:
    """The mean, or 0 of no values."""
    return sum(values) / len(values) if values else 0.0


def spread_of(values: Sequence[float]) -> float:
    """The standard error of the mean from the values' own spread; 0 of fewer than two."""
    if len(values) < 2:
        return 0.0
    return float(torch.tensor(values, dtype=torch.float64).std()) / math.sqrt(len(values))
