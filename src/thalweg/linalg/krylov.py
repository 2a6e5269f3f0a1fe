r"""A Krylov space: an orthonormal basis V and T = V' A V, grown by one product at a time.

Lanczos' recursion with full reorthogonalization:

    w = A v_j,  alpha_j = v_j . w,  w <- w - V (V' w) twice,  beta_j = |w|,  v_{j+1} = w / beta_j

In exact arithmetic only the last two coefficients V' w are not zero. In rounded arithmetic the
basis of the short recursion loses its orthogonality as soon as one eigenvalue has converged, and
copies of that eigenvalue ("ghosts") appear; with the full one V stays orthogonal to rounding, and
there are none.

The coefficients that symmetry says are zero are measured on the way. Together they are the part
of the operator that T leaves out: its rounding, its lack of symmetry, or its noise where the same
vector gets two different products. Every error bound contains them.

When beta vanishes, V spans an invariant space and is continued with a fresh random vector; between
the two beta is 0.

Memory: m n numbers after m products (and up to twice that while the basis is enlarged). Time: the
products, and about 8 m n multiplications a step for the orthogonalization.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.curvature import Operator
from thalweg.linalg.basis import Basis, norm

# A product carries some units of rounding; a residual below that says nothing.
ROUNDING_UNITS = 8
# Where a space is invariant in exact arithmetic, rounding grown over its steps is left: so many
# units, and in half precision at most this share of |A|.
CLOSURE_UNITS = 128
CLOSURE_SHARE = 1e-4


@final
@dataclass(frozen=True, eq=False)
class Ritz:
    """Eigenpairs of A as seen from a Krylov space of dimension m.

    Attributes:
        values: theta, ascending, float64, shape (m,).
        errors: within which of theta_i an eigenvalue of A lies, float64, shape (m,).
        weights: of the basis in each Ritz vector, one vector a column, float64, shape (m, m).
    """

    values: Tensor
    errors: Tensor
    weights: Tensor


@final
class Krylov:
    """The space spanned so far; `grow` adds one dimension at the cost of one product.

    Attributes:
        operator: A.
        closures: the dimensions at which the space was invariant under A.
    """

    def __init__(self, operator: Operator, *, seed: int) -> None:
        # Half precision is too coarse to orthogonalize in.
        dtype = torch.promote_types(operator.dtype, torch.float32)
        self.operator = operator
        self.closures: list[int] = []
        self._basis = Basis(operator.size, dtype=dtype, device=operator.device)
        self._generator = torch.Generator().manual_seed(seed)
        self._alphas: list[float] = []
        self._betas: list[float] = []
        self._lengths: list[float] = []  # the betas as they were, where a closure made them 0
        self._left_out = 0.0  # square of the Frobenius norm
        self._scale = 0.0  # largest |A v| seen, at most |A|
        self._next = self._fresh()

    @property
    def dimension(self) -> int:
        """m, which is also the number of products taken."""
        return len(self._alphas)

    @property
    def complete(self) -> bool:
        """Whether the space is all of R^n."""
        return self.dimension == self.operator.size

    @property
    def closed(self) -> bool:
        """Whether the space is invariant under A as it stands."""
        return self.dimension in self.closures

    @property
    def rounding(self) -> float:
        """Bound on the part of A that T leaves out, in A's units."""
        return math.sqrt(self._left_out) + self._units(ROUNDING_UNITS)

    def grow(self) -> None:
        """Take one product and add its direction to the space.

        Raises:
            FloatingPointError: the product is not finite.
            ValueError: the space is complete.
        """
        if self.complete:
            raise ValueError(f"Krylov.grow: the space already is all of R^{self.dimension}.")
        self._basis.append(self._next)
        product = (self.operator @ self._next.to(self.operator.dtype)).to(self._next.dtype)
        self._scale = max(self._scale, self._checked_norm(product))
        rest, coefficients = self._basis.orthogonalized(product)
        self._record(coefficients)
        self._advance(rest)

    def ritz(self) -> Ritz:
        """The eigenpairs of T; the residual |A y - theta y| is at most beta |s_m| + rounding."""
        values, weights = torch.linalg.eigh(self._projected(self.dimension))
        return Ritz(values, self._betas[-1] * weights[-1].abs() + self.rounding, weights)

    def first_block(self) -> tuple[Tensor, Tensor]:
        """Of the space before its first closure: Ritz values, ascending, and betas, above rounding.

        This is the part that comes from the one random start.
        """
        m = self.closures[0] if self.closures else self.dimension
        betas = torch.tensor(self._lengths[:m], dtype=torch.float64)
        return torch.linalg.eigvalsh(self._projected(m)), betas

    def vector(self, weights: Tensor) -> Tensor:
        """The unit vector with `weights`, (m,), on the basis: shape (n,), in A's dtype."""
        vector = self._basis.combined(weights)
        return (vector / norm(vector)).to(self.operator.dtype)

    def _projected(self, m: int) -> Tensor:
        """T, the first m rows and columns of V' A V."""
        diagonal = torch.tensor(self._alphas[:m], dtype=torch.float64)
        beside = torch.tensor(self._betas[: m - 1], dtype=torch.float64)
        return torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1)

    def _record(self, coefficients: Tensor) -> None:
        """Take alpha from V' w and count what symmetry says should not be there."""
        self._alphas.append(float(coefficients[-1]))
        expected = torch.zeros_like(coefficients[:-1])
        if len(expected):
            expected[-1] = self._betas[-1]
        self._left_out += 2 * float((coefficients[:-1] - expected).square().sum())

    def _advance(self, rest: Tensor) -> None:
        """Take beta and the next vector from what is left of the product."""
        beta = norm(rest)
        self._lengths.append(max(beta, self._units(ROUNDING_UNITS)))
        if self.complete or beta <= min(self._units(CLOSURE_UNITS), CLOSURE_SHARE * self._scale):
            self.closures.append(self.dimension)
            self._left_out += 2 * beta**2
            beta = 0.0
        self._betas.append(beta)
        if not self.complete:
            self._next = rest / beta if beta else self._fresh()

    def _fresh(self) -> Tensor:
        """A random unit vector, uniform among those orthogonal to the space."""
        draw = torch.randn(self.operator.size, generator=self._generator, dtype=torch.float64)
        vector, _ = self._basis.orthogonalized(draw.to(self._basis.rows))
        return vector / norm(vector)

    def _units(self, count: int) -> float:
        """So many units of a product's rounding."""
        return count * torch.finfo(self.operator.dtype).eps * self._scale

    def _checked_norm(self, product: Tensor) -> float:
        length = norm(product)
        if not math.isfinite(length):
            bad = int((~torch.isfinite(product)).sum())
            raise FloatingPointError(
                f"{self.operator.name} @ v is not finite in {bad} of {self.operator.size} entries "
                f"at product {self.dimension + 1}, for a vector of length 1: the curvature has no "
                "value here. Go back to parameters with a finite loss, or use float64."
            )
        return length
