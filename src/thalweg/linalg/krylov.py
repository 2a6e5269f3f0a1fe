r"""A Krylov space: an orthonormal basis V and T = V' A V, grown by one product at a time.

Lanczos' recursion with full reorthogonalization:

    w = A v_j,  alpha_j = v_j . w,  w <- w - V (V' w) twice,  beta_j = |w|,  v_{j+1} = w / beta_j

so that A V = V T + v c', where v is the next vector and c, its *coupling*, is (0, ..., 0, beta).

In exact arithmetic only the last two coefficients V' w are not zero. In rounded arithmetic the
basis of the short recursion loses its orthogonality as soon as one eigenvalue has converged, and
copies of that eigenvalue ("ghosts") appear; with the full one V stays orthogonal to rounding, and
there are none.

The coefficients that symmetry says are zero are measured on the way. Together they are the part
of the operator that T leaves out: its rounding, its lack of symmetry, or its noise where the same
vector gets two different products. Every error bound contains them.

When beta vanishes, V spans an invariant space and is continued with a fresh random vector; between
the two the coupling is 0.

A space that may hold no more vectors is *compressed*: rotated to its Ritz vectors Y = V S, of which
some are kept. Then A Y = Y diag(theta) + v (S' c)': T is diagonal, the coupling is full, the next
vector is as it was, and the recursion goes on (K. Wu & H. Simon, *SIAM J. Matrix Anal. Appl.* 22,
2000; for symmetric A the same as G. W. Stewart's Krylov-Schur, ibid. 23, 2001).

Memory: m n numbers for m vectors held, and some six vectors beside them. Time: the products, and
about 8 m n multiplications a step for the orthogonalization.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.basis import Basis, norm
from thalweg.operators import Operator
from thalweg.operators.linear_map import check_vectors

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
        residuals: |A y - theta y| of each, as the recursion knows it, float64, shape (m,).
        weights: of the basis in each Ritz vector, one vector a column, float64, shape (m, m).
        rounding: what the products' rounding and asymmetry may add to a residual.
    """

    values: Tensor
    residuals: Tensor
    weights: Tensor
    rounding: float

    @property
    def errors(self) -> Tensor:
        """Within which of theta_i an eigenvalue of A lies, shape (m,)."""
        return self.residuals + self.rounding


@final
class Krylov:
    """The space spanned so far; `grow` adds one dimension at the cost of one product.

    Args:
        operator: A.
        seed: of the random vectors: the start, and those after a closure.
        start: the first vector, shape (n,), of any length but 0, in place of a random one.
        capacity: vectors held at most; no limit but n if None.

    Attributes:
        operator: A.
        products: taken so far.
        closures: the dimensions at which the space was invariant under A.
        compressions: how often vectors were let go.
        held: the most vectors that the basis held at a time.
        coupling: c, float64, shape (m,).
    """

    def __init__(
        self,
        operator: Operator,
        *,
        seed: int,
        start: Tensor | None = None,
        capacity: int | None = None,
    ) -> None:
        # Half precision is too coarse to orthogonalize in.
        dtype = torch.promote_types(operator.dtype, torch.float32)
        self.operator = operator
        self.products = 0
        self.closures: list[int] = []
        self.compressions = 0
        self.held = 0
        self._basis = Basis(operator.size, dtype=dtype, device=operator.device, capacity=capacity)
        self._generator = torch.Generator().manual_seed(seed)
        self._projected = torch.zeros((0, 0), dtype=torch.float64)  # T
        self.coupling = torch.zeros(0, dtype=torch.float64)  # c
        self._zeros = torch.zeros(0, dtype=torch.float64)  # of p, less the present Ritz values
        self._betas: list[float] = []  # up to the first closure
        self._closed = False
        self._left_out = 0.0  # square of the Frobenius norm
        self._scale = 0.0  # largest |A v| seen, at most |A|
        self._next = self._fresh() if start is None else self._normalized(start)

    @property
    def dimension(self) -> int:
        """m, the vectors held; before the first compression also the number of products."""
        return len(self._basis)

    @property
    def allocated(self) -> int:
        """How many vectors the basis has memory for."""
        return self._basis.allocated

    @property
    def complete(self) -> bool:
        """Whether the space is all of R^n."""
        return self.dimension == self.operator.size

    @property
    def full(self) -> bool:
        """Whether it must be compressed before it can grow."""
        return self.dimension == self._basis.capacity and not self.complete

    @property
    def closed(self) -> bool:
        """Whether the space is invariant under A as it stands."""
        return self._closed

    @property
    def rounding(self) -> float:
        """Bound on the part of A that T leaves out, in A's units."""
        return math.sqrt(self._left_out) + self._units(ROUNDING_UNITS)

    def grow(self) -> None:
        """Take one product and add its direction to the space.

        Raises:
            FloatingPointError: the product is not finite.
            ValueError: the space is complete, or full.
        """
        if self.complete:
            raise ValueError(f"Krylov.grow: the space already is all of R^{self.dimension}.")
        self._basis.append(self._next)
        self.held = max(self.held, self.dimension)
        product = (self.operator @ self._next.to(self.operator.dtype)).to(self._next.dtype)
        self._scale = max(self._scale, self._checked_norm(product))
        self.products += 1
        rest, coefficients = self._basis.orthogonalized(product)
        self._record(coefficients)
        self._advance(rest)

    def ritz(self) -> Ritz:
        """The eigenpairs of T; the residual A y - theta y is (c . s) v but for rounding."""
        values, weights = torch.linalg.eigh(self._projected)
        return Ritz(values, (self.coupling @ weights).abs(), weights, self.rounding)

    def compress(self, ritz: Ritz, keep: list[int]) -> None:
        """Let go of all but the Ritz vectors whose indices `keep` holds, at least one of them."""
        kept = torch.tensor(keep)
        let_go = torch.ones(self.dimension, dtype=torch.bool)
        let_go[kept] = False
        weights = ritz.weights[:, kept]
        self._basis.rotate(weights)
        self._projected = torch.diag(ritz.values[kept])
        self.coupling = self.coupling @ weights
        self._left_out += len(keep) * self._units(1) ** 2  # the rotation's own rounding
        self.compressions += 1
        if not self.closures:
            self._zeros = torch.cat([self._zeros, ritz.values[let_go]])

    def first_block(self) -> tuple[Tensor, Tensor]:
        """The polynomial p of the products before the first closure: p(A) b = prod beta_j v.

        b is the start vector, v the one after these products. Returns p's zeros, ascending, which
        are the Ritz values and those that were let go, and the betas, above rounding; float64,
        shape (products,) each.
        """
        zeros = self._zeros if self.closures else self._all_zeros()
        return zeros.sort().values, torch.tensor(self._betas, dtype=torch.float64)

    def vector(self, weights: Tensor) -> Tensor:
        """The unit vector with `weights`, (m,), on the basis: shape (n,), in A's dtype."""
        vector = self._basis.combined(weights)
        return (vector / norm(vector)).to(self.operator.dtype)

    def _record(self, coefficients: Tensor) -> None:
        """Border T with alpha and the coupling; count what symmetry says should not be there."""
        self._left_out += 2 * float((coefficients[:-1] - self.coupling).square().sum())
        column = torch.cat([self.coupling, coefficients[-1:]])
        above = torch.cat([self._projected, self.coupling[None]])
        self._projected = torch.cat([above, column[:, None]], 1)

    def _advance(self, rest: Tensor) -> None:
        """Take beta and the next vector from what is left of the product."""
        beta = norm(rest)
        if not self.closures:
            self._betas.append(max(beta, self._units(ROUNDING_UNITS)))
        self._closed = self.complete or beta <= self._negligible()
        if self._closed:
            self._close(beta)
            beta = 0.0
        self.coupling = torch.zeros(self.dimension, dtype=torch.float64)
        self.coupling[-1] = beta
        if not self.complete:
            self._next = rest / beta if beta else self._fresh()

    def _close(self, beta: float) -> None:
        """Note that the space is invariant but for `beta`."""
        if not self.closures:
            self._zeros = self._all_zeros()
        self.closures.append(self.dimension)
        self._left_out += 2 * beta**2

    def _all_zeros(self) -> Tensor:
        """The values let go and those present."""
        return torch.cat([self._zeros, torch.linalg.eigvalsh(self._projected)])

    def _negligible(self) -> float:
        """A beta that is rounding grown over the steps."""
        return min(self._units(CLOSURE_UNITS), CLOSURE_SHARE * self._scale)

    def _fresh(self) -> Tensor:
        """A random unit vector, uniform among those orthogonal to the space."""
        draw = torch.randn(self.operator.size, generator=self._generator, dtype=torch.float64)
        vector, _ = self._basis.orthogonalized(draw.to(self._basis.device, self._basis.dtype))
        return vector / norm(vector)

    def _normalized(self, start: Tensor) -> Tensor:
        """`start` at length 1, in the basis' dtype."""
        check_vectors(self.operator, start)
        start = start.to(self._basis.dtype)
        length = norm(start)
        if start.dim() != 1 or not 0 < length < math.inf:
            raise ValueError(
                f"Krylov(start=...): a vector of shape {tuple(start.shape)} and length {length}; "
                f"give one vector of shape ({self.operator.size},), finite and not zero."
            )
        return start / length

    def _units(self, count: int) -> float:
        """So many units of a product's rounding."""
        return count * torch.finfo(self.operator.dtype).eps * self._scale

    def _checked_norm(self, product: Tensor) -> float:
        length = norm(product)
        if not math.isfinite(length):
            bad = int((~torch.isfinite(product)).sum())
            raise FloatingPointError(
                f"{self.operator.name} @ v is not finite in {bad} of {self.operator.size} entries "
                f"at product {self.products + 1}, for a vector of length 1: the curvature has no "
                "value here. Go back to parameters with a finite loss, or use float64."
            )
        return length
