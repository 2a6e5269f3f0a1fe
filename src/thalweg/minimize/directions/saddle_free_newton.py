r"""Saddle-free Newton: the Hessian's curvatures, each by its size.

    x <- x - |H|^-1 g,      |H| = Q diag(|lambda|) Q'

Newton's step divides the gradient's part along each eigenvector by its curvature, and where that is
negative turns it round, towards the saddle. Divided by the curvature's size it keeps gradient
descent's sign and Newton's length. Where H is positive definite the two methods are one.

For many parameters H is seen from the Krylov space of the gradient, V = span(g, Hg, H^2 g, ...),
which holds g itself: d = -V |V'HV|^-1 V'g. In all of R^n that is the dense step. Before, a Ritz
value theta of an indefinite H may lie near 0 though no eigenvalue does, and the step along its
vector y would have no bound; so there its size is |H y| = sqrt(theta^2 + residual^2), which is at
least y'|H|y, and |theta| where the pair has converged.

Y. Dauphin, R. Pascanu, C. Gulcehre, K. Cho, S. Ganguli & Y. Bengio, *Identifying and attacking the
saddle point problem in high-dimensional non-convex optimization* (arXiv 1406.2572), algorithm 1.
The paper searches for a damping at every step; here the search is along d.

Cost: dense, n products and ten n^3 operations; in a Krylov space, a product and n numbers of memory
for each dimension.
"""

from typing import final

import torch
from torch import Tensor

from thalweg.linalg.krylov import Krylov, Ritz
from thalweg.linalg.products import length
from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.escape import escape, escape_by
from thalweg.minimize.directions.memoryless import Memoryless
from thalweg.minimize.directions.models import Asked
from thalweg.minimize.directions.quadratic_model import proposed
from thalweg.minimize.directions.settings import (
    check_count,
    check_not_negative,
    check_share,
    root_of_rounding,
)
from thalweg.minimize.directions.spectrum import Spectrum, dense, sizes, solved
from thalweg.operators import Matrix, Operator


def dense_saddle_free_step(
    spectrum: Spectrum, gradient: Tensor, *, damping: float = 0.0, floor: float | None = None
) -> Proposal:
    """-(|H| + damping I)^-1 g from H's eigenvalues and eigenvectors.

    Args:
        spectrum: of H.
        gradient: g, shape (n,).
        damping: added to every |lambda|.
        floor: the least |lambda| counted, as a share of the largest; the root of the precision's
            rounding if None.
    """
    share = root_of_rounding(gradient.dtype) if floor is None else floor
    size = sizes(spectrum.values, "absolute", share) + damping
    return proposed(solved(spectrum, gradient, size), gradient)


def krylov_saddle_free_step(
    hessian: Operator,
    gradient: Tensor,
    *,
    dimension: int,
    damping: float = 0.0,
    floor: float | None = None,
) -> Proposal:
    """-V (|V'HV| + damping I)^-1 V'g in the gradient's Krylov space.

    Args:
        hessian: H, any symmetric operator.
        gradient: g, not zero, shape (n,).
        dimension: of the space, at most; fewer products where it is invariant before.
        damping, floor: as for the dense step.
    """
    krylov = Krylov(hessian, seed=0, start=gradient)
    while krylov.dimension < min(dimension, hessian.size) and not krylov.closed:
        krylov.grow()
    ritz = krylov.ritz()
    share = root_of_rounding(gradient.dtype) if floor is None else floor
    size = ritz_sizes(ritz).clamp_min(share * float(ritz.values.abs().max())) + damping
    along = length(gradient) * ritz.weights[0]  # Y'g, since the basis begins with g / |g|
    weights = -(ritz.weights @ (along / torch.where(size > 0, size, 1.0)))
    return proposed(float(weights.norm()) * krylov.vector(weights), gradient)


def ritz_sizes(ritz: Ritz) -> Tensor:
    """|theta|, shape (m,); |H y| where H is not definite on the space."""
    if float(ritz.values[0]) > 0 or float(ritz.values[-1]) < 0:
        return ritz.values.abs()
    return torch.hypot(ritz.values, ritz.residuals)


def absolute(hessian: Operator, largest: int) -> Matrix:
    """|H|, written down for at most `largest` parameters."""
    spectrum = Spectrum.of(dense("SaddleFreeNewton", hessian, largest, "NewtonCG, which takes H"))
    entries = spectrum.vectors * spectrum.values.abs() @ spectrum.vectors.T
    symmetric = (entries + entries.T) / 2
    return Matrix(symmetric.to(hessian.dtype), facts=frozenset({"psd"}), name="|Hessian|")


@final
class SaddleFreeNewton(Memoryless):
    """Saddle-free Newton, dense or in a Krylov space.

    Args:
        dimension: of the Krylov space; None for the dense Hessian.
        damping: added to every |lambda|, in units of the loss per squared unit of the parameters.
        floor: the least |lambda| counted, as a share of the largest; the root of the precision's
            rounding if None.
        largest: the most parameters to write a Hessian down for.

    Raises:
        ValueError: a setting out of its domain; from `propose`, more parameters than `largest`.
        FloatingPointError: from `propose`, a product is not finite.
    """

    name = "saddle-free-newton"
    needs: frozenset[Need] = frozenset({"hessian"})

    def __init__(
        self,
        *,
        dimension: int | None = None,
        damping: float = 0.0,
        floor: float | None = None,
        largest: int = 2000,
    ) -> None:
        check_count(type(self).__name__, "dimension", 1 if dimension is None else dimension)
        check_not_negative(type(self).__name__, "damping", damping)
        check_share(type(self).__name__, "floor", floor)
        check_count(type(self).__name__, "largest", largest)
        self.dimension, self.damping, self.floor = dimension, damping, floor
        self.largest = largest

    def model(self) -> Asked:
        """B = |H|, written down.

        Raises:
            ValueError: from the model, more parameters than `largest`.
        """
        return Asked(lambda place: absolute(place.hessian(), self.largest), "hessian")

    def propose(self, at: Place) -> Proposal:
        """The step; where the gradient is zero, the way out if there is one."""
        if self.dimension is None:
            return self._dense(at)
        if not bool(at.gradient.any()):
            return escape(at.hessian(), at.x, self.dimension)
        return krylov_saddle_free_step(
            at.hessian(),
            at.gradient,
            dimension=self.dimension,
            damping=self.damping,
            floor=self.floor,
        )

    def _dense(self, at: Place) -> Proposal:
        instead = "SaddleFreeNewton(dimension=50)"
        spectrum = Spectrum.of(dense(type(self).__name__, at.hessian(), self.largest, instead))
        if not bool(at.gradient.any()):
            return escape_by(spectrum, at.x)
        return dense_saddle_free_step(spectrum, at.gradient, damping=self.damping, floor=self.floor)
