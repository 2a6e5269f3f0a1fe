r"""The diagonal of an operator, entry by entry with its standard error.

| method | products go to | good for |
|---|---|---|
| exact | n products, or none where the operator knows its diagonal | n up to the products allowed |
| krylov | half a Krylov space, which is deflated, half test vectors | any spectrum: the default |
| xdiag | a sketch, and the products with it; each column is a test vector too | fast decay |
| hutchinson | test vectors | operators that are nearly diagonal; huge n |

**hutchinson.** For a vector z of signs, z * A z has mean diag A, and its i-th entry the variance of
the i-th row off the diagonal, sum_j a_ij^2. C. Bekas, E. Kokiopoulou & Y. Saad, *An estimator for
the diagonal of a matrix* (Appl. Numer. Math. 57, 2007); their division by z * z is one by 1 here.

**krylov.** With Q, P and B of `linalg.deflation`,

    diag A = 2 diag(Q Q'A) - diag(Q Q'A Q Q') + diag B,

the first two terms known and the last the mean of z * B z.

**xdiag.** E. Epperly, J. Tropp & R. Webber, *XTrace* (SIAM J. Matrix Anal. Appl. 45, 2024), section
2.4; see `linalg.xdiag`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from thalweg.linalg.basis import Basis
from thalweg.linalg.deflation import Deflation, krylov_space
from thalweg.linalg.identity import diagonal_by_products
from thalweg.linalg.probing import blocks, check_operator, check_products, products, rademacher
from thalweg.linalg.xdiag import xdiag
from thalweg.operators import Operator

Method = Literal["auto", "exact", "krylov", "xdiag", "hutchinson"]


@final
@dataclass(frozen=True, eq=False)
class Diagonal:
    """A diagonal, exact or estimated without bias.

    Attributes:
        values: the entries, in the operator's dtype, shape (n,).
        standard_errors: of each over the random vectors, shape (n,); 0 where exact.
        products: that it took.
        method: how it was found.
    """

    values: Tensor
    standard_errors: Tensor
    products: int
    method: str


def diagonal(
    operator: Operator, *, products: int = 99, method: Method = "auto", seed: int = 0
) -> Diagonal:
    """The diagonal of `operator`, with the standard error of each entry.

    Args:
        operator: symmetric, n x n.
        products: to take at most; "exact" takes n, or none where the operator knows its diagonal.
        method: see the module; "auto" is "exact" where the products suffice for it, else "krylov".
        seed: of the random vectors; the program's own random state is not touched.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: an unknown method, or too few products.
        FloatingPointError: a product is not finite.

    Memory: half a vector of n numbers for each product by "krylov", four by "xdiag"; a few in all
    by the others.
    """
    check_operator("diagonal", operator)
    if method not in ("auto", "exact", *ESTIMATORS):
        known = ", ".join(("auto", "exact", *ESTIMATORS))
        raise ValueError(f"diagonal(method={method!r}): choose one of {known}.")
    check_products("diagonal", products, 1, "an estimate")
    known_diagonal = operator.exact_diagonal() if method in ("auto", "exact") else None
    if known_diagonal is not None:
        return exact(known_diagonal, 0)
    if method == "exact" or (operator.size <= products and method == "auto"):
        return exact(diagonal_by_products(operator).to(operator.dtype), operator.size)
    return ESTIMATORS["krylov" if method == "auto" else method](operator, products, seed)


def exact(values: Tensor, products: int) -> Diagonal:
    """The entries, known but for the products' rounding."""
    return Diagonal(values, torch.zeros_like(values), products, "exact")


def hutchinson_diagonal(operator: Operator, count: int, seed: int) -> Diagonal:
    """The mean of z * A z over `count` vectors of signs."""
    check_products("diagonal", count, 2, "method='hutchinson'")
    generator = torch.Generator().manual_seed(seed)
    moments = Moments()
    for size in blocks(count):
        tests = rademacher(operator, size, generator)
        moments.add(tests * products(operator, tests))
    return moments.diagonal(operator, 0.0, count, "hutchinson")


def krylov_diagonal(operator: Operator, count: int, seed: int) -> Diagonal:
    """Half the products to a Krylov space, half to vectors of signs projected beside it."""
    check_products("diagonal", count, 4, "method='krylov'")
    generator = torch.Generator().manual_seed(seed)
    deflating = min(count // 2, operator.size)
    space = krylov_space(operator, deflating, deflating, generator)
    moments = Moments()
    for size in blocks(count - deflating):
        signs = rademacher(operator, size, generator)
        images = products(operator, beside(space.basis, signs))
        moments.add(signs * beside(space.basis, images))
    return moments.diagonal(operator, known_diagonal(space), count, "krylov")


def xdiag_diagonal(operator: Operator, count: int, seed: int) -> Diagonal:
    """XDiag with count // 2 columns."""
    values, errors, spent = xdiag(operator, count, seed)
    return Diagonal(values.to(operator.dtype), errors.to(operator.dtype), spent, "xdiag")


def known_diagonal(space: Deflation) -> Tensor:
    """2 diag(Q Q'A) - diag(Q Q'A Q Q'), shape (n,)."""
    total = 2 * space.rowwise
    eye = torch.eye(len(space.projected), dtype=torch.float64)
    for unit, column in zip(eye, space.projected, strict=True):
        total = total - space.basis.combined(unit) * space.basis.combined(column)
    return total


def beside(basis: Basis, vectors: Tensor) -> Tensor:
    """Columns less their parts in the basis' span."""
    return torch.stack([basis.orthogonalized(vector)[0] for vector in vectors.unbind(1)], 1)


@final
class Moments:
    """Mean and variance of vectors that come in blocks, by West's update (1979)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0  # of the deviations from the mean

    def add(self, block: Tensor) -> None:
        """Count each column of `block`, shape (n, k)."""
        for sample in block.unbind(1):
            self._count += 1
            step = sample - self._mean
            self._mean = self._mean + step / self._count
            self._squares = self._squares + step * (sample - self._mean)

    def diagonal(
        self, operator: Operator, known: Tensor | float, products: int, method: str
    ) -> Diagonal:
        """The mean beside what is `known`, and its standard error."""
        values = torch.as_tensor(known + self._mean)
        variance = torch.as_tensor(self._squares) / (self._count - 1) / self._count
        dtype = operator.dtype
        return Diagonal(values.to(dtype), variance.clamp_min(0).sqrt().to(dtype), products, method)


ESTIMATORS: dict[str, Callable[[Operator, int, int], Diagonal]] = {
    "krylov": krylov_diagonal,
    "xdiag": xdiag_diagonal,
    "hutchinson": hutchinson_diagonal,
}
