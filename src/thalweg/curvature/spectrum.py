r"""The whole spectrum: its ends, its density, its signs, and two condition numbers.

Five questions, each with what is known of its error, from one budget of products:

| what | by | share |
|---|---|---|
| ends | Lanczos (`linalg.lanczos`) | a quarter |
| density | stochastic Lanczos quadrature (`linalg.spectral_density`) | a quarter |
| condition | Ritz values and a density (`linalg.condition`) | a quarter |
| signs | one long run (`linalg.inertia`) | an eighth |
| gain | a run from the gradient (`linalg.gain`) | an eighth |

A matrix with no more rows than products is written down once, and everything is exact.

B. Ghorbani, S. Krishnan & Y. Xiao, *An investigation into neural net optimization via Hessian
eigenvalue density* (arXiv 1901.10159), on what such spectra look like: a bulk about zero, and as
many outliers as there are classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn

from thalweg.curvature.drawing import svg
from thalweg.curvature.histogram import BINS, Histogram, histogram
from thalweg.curvature.picture import picture
from thalweg.curvature.place import curvature_at
from thalweg.linalg import Extremes, Inertia, inertia, lanczos
from thalweg.linalg.condition import Condition, condition_number
from thalweg.linalg.gain import GainConditioning, gain_conditioning
from thalweg.linalg.spectral_density import SpectralDensity, spectral_density
from thalweg.operators import Matrix, Operator, ParameterOperator

FEWEST = 160  # products, of which the shares are enough for each question


@final
@dataclass(frozen=True, eq=False)
class Spectrum:
    """The eigenvalues of a Hessian as a whole.

    Attributes:
        size: n, how many there are.
        extremes: the ends, with proved errors and outer bounds.
        density: where the others lie.
        inertia: how many are negative, about zero, and positive.
        condition: the condition number over the non-null space, and the effective rank.
        gain: the conditioning weighted by what is still to be gained; None where the gradient is 0.
        products: of the Hessian, that all this took.
        exact: whether the matrix was written down.
    """

    size: int
    extremes: Extremes
    density: SpectralDensity
    inertia: Inertia
    condition: Condition
    gain: GainConditioning | None
    products: int
    exact: bool

    def histogram(self, bins: int = BINS) -> Histogram:
        """The eigenvalues counted in bins, and the outliers."""
        return histogram(self.density, self.extremes, bins)

    def plot(self, path: str | Path) -> None:
        """Draw the density into an SVG file, with log-scaled bars and the outliers marked.

        Raises:
            ValueError: the name does not end in `.svg`.
            OSError: the file cannot be written.
        """
        if Path(path).suffix.lower() != ".svg":
            raise ValueError(f"plot({str(path)!r}): the picture is an SVG; end its name in .svg.")
        title = f"{self.size:,} eigenvalues, in {BINS} bins"
        Path(path).write_text(svg(self.histogram(), title), encoding="utf-8")

    def __str__(self) -> str:
        """The numbers, and the density as a picture of 80 columns."""
        found = self.histogram()
        return "\n".join(
            [
                f"{self.size:,} eigenvalues from {ends(self.extremes)}",
                signs(self.inertia),
                conditioning(self.condition),
                *([weighted(self.gain)] if self.gain else []),
                picture(found.edges, found.counts, [value for value, _ in found.outliers]),
            ]
        )


def spectrum(
    model: nn.Module | ParameterOperator,
    loss: Callable[[Any, Any], Tensor] | None = None,
    data: Any = None,
    *,
    max_products: int = 240,
    seed: int = 0,
    **options: Any,
) -> Spectrum:
    """The spectrum of the loss's Hessian where the parameters are.

    Args:
        model: a model, with `loss` and `data` as `Hessian.of_model` takes them; or a Hessian.
        loss: from output and targets to a scalar.
        data: one batch (inputs, targets), or a list or loader of batches.
        max_products: of the Hessian, at the most; at least 160, or the number of parameters.
        seed: of the random vectors.
        options: for `Hessian.of_model`.

    Raises:
        TypeError: `model` is neither; or a loss or data is missing.
        ValueError: too few products.
        FloatingPointError: a product is not finite.

    Memory: one vector of n numbers for each of a quarter of the products.
    """
    with curvature_at("spectrum", model, loss, data, options) as hessian:
        if hessian.size <= max_products:
            return exactly(hessian, seed)
        if max_products < FEWEST:
            raise ValueError(
                f"spectrum(max_products={max_products}): {hessian.size} parameters take at least "
                f"{FEWEST} products."
            )
        return sampled(hessian, max_products, seed)


def exactly(hessian: ParameterOperator, seed: int) -> Spectrum:
    """From the matrix, written down by n products."""
    dense = hessian.to_dense()
    if not bool(dense.isfinite().all()):
        raise FloatingPointError(
            f"{hessian.name} is not finite: the curvature has no value here. Go back to "
            "parameters with a finite loss."
        )
    n = hessian.size
    seen = Matrix((dense + dense.T) / 2)
    return Spectrum(
        size=n,
        extremes=lanczos(seen, k=min(4, n), tol=1e-6, max_products=n + 4, seed=seed),
        density=spectral_density(seen, products=max(n, 40), seed=seed),
        inertia=inertia(seen, max_products=n, seed=seed),
        condition=condition_number(seen, products=max(n, 40), seed=seed),
        gain=weighted_by(seen, hessian.gradient, n),
        products=n,
        exact=True,
    )


def sampled(hessian: ParameterOperator, products: int, seed: int) -> Spectrum:
    """From runs that share the products; see the module."""
    ends = lanczos(hessian, k=4, tol=1e-3, max_products=products // 4, seed=seed)
    density = spectral_density(hessian, products=products // 4, seed=seed)
    condition = condition_number(hessian, products=products // 4, seed=seed)
    signs = inertia(hessian, max_products=products // 8, seed=seed)
    gain = weighted_by(hessian, hessian.gradient, products // 8)
    spent = ends.products + density.products + condition.products + signs.products
    spent += gain.products if gain else 0
    return Spectrum(hessian.size, ends, density, signs, condition, gain, spent, exact=False)


def weighted_by(operator: Operator, gradient: Tensor, products: int) -> GainConditioning | None:
    """The conditioning weighted by gain; None where there is none to first order."""
    if not bool(gradient.any()):
        return None
    return gain_conditioning(operator, gradient, products=products)


def ends(extremes: Extremes) -> str:
    """The smallest and the largest eigenvalue with their errors."""
    low, high = extremes.smallest, extremes.largest
    return f"{low.value:.4g} ± {low.error:.1g} to {high.value:.4g} ± {high.error:.1g}"


def signs(found: Inertia) -> str:
    """How many are negative, about zero and positive."""
    counts = (found.negative, found.zero, found.positive)
    below, about, above = (
        f"{one.low:,}" if one.low == one.high else f"{one.low:,} to {one.high:,}" for one in counts
    )
    return f"negative {below}, within {found.threshold:.1g} of zero {about}, positive {above}"


def conditioning(found: Condition) -> str:
    """The condition number and the effective rank."""
    least = "" if found.exact else "at least "
    return (
        f"condition number {least}{found.number:.4g}, over eigenvalues beyond "
        f"{found.threshold:.1g}; effective rank {found.effective_rank:.3g}"
    )


def weighted(found: GainConditioning) -> str:
    """The condition number weighted by gain, and how far it can be trusted."""
    return (
        f"weighted by what is still to be gained {found.number:.4g}; "
        f"{found.unresolved:.0%} of the gain is unresolved"
    )
