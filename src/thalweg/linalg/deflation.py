r"""Taking the large eigenvalues out of an estimate: A = its part on a subspace + B.

With an orthonormal basis Q of k vectors and P = I - Q Q',

    tr A = tr(Q'A Q) + tr B,          B = P A P.

The first term costs the k products A Q and is exact. B is what is left to sample, and without the
outliers of a network's spectrum its samples vary little. Two ways to choose Q:

* `krylov_space`: a block Krylov space [X, AX, A^2 X, ...] of a random block X. Its products serve
  twice, to find the next directions and to know A on the present ones: k products deflate k
  directions (T. Chen & E. Hallman, *Krylov-aware stochastic trace estimation*, SIAM J. Matrix
  Anal. Appl. 44, 2023).
* `range_sketch`: the range of A X (R. Meyer, C. Musco, C. Musco & D. Woodruff, *Hutch++: optimal
  stochastic trace estimation*, SOSA 2021): 2 k products deflate k directions.

`sampled` then takes test vectors z, uniform on the unit sphere of the complement, whose dimension
is N = n - k, and mutually orthogonal. Each N z'Bz has mean tr B; their mean x of r has variance

    (s^2 / r) (1 - r / N),

s^2 the sample variance, exactly as for drawing without replacement: N mutually orthogonal vectors
give the trace itself. For uniform z also s^2 = 2 N^2 / ((N + 2) (N - 1)) (|B|_F^2 - (tr B)^2 / N).

Where there is no room to keep the test vectors they are independent, and the variance is s^2 / r.

Memory: one vector for each product; for k of them and a block where test vectors are not kept.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.basis import Basis, norm
from thalweg.linalg.probing import BLOCK, blocks, dots, gaussian, products, work_dtype
from thalweg.operators import Operator

# Columns of the random block: with fewer, repeated or clustered eigenvalues hide each other; with
# more, the space has too few powers of A.
COLUMNS = 4
# A vector of which no more than so many units of rounding are new adds nothing to a space.
CLOSURE_UNITS = 128


@final
@dataclass(frozen=True, eq=False)
class Deflation:
    """A on a subspace.

    Attributes:
        basis: Q.
        projected: Q'A Q, float64, shape (k, k).
        lengths: |A q| for each vector, float64, shape (k,).
        rowwise: the sum of q * (A q), shape (n,): the diagonal of Q Q'A.
        products: that it took.
    """

    basis: Basis
    projected: Tensor
    lengths: Tensor
    rowwise: Tensor
    products: int


@final
@dataclass(frozen=True, eq=False)
class Samples:
    """What r test vectors z on the complement gave; float64, shape (r,) each.

    Attributes:
        forms: N z'Bz, with mean tr B.
        squares: N |Bz|^2, with mean |B|_F^2.
        lengths: |A z|.
        crossed: 2 N^2 (B z_i . B z_j)^2 for pairs, which has the mean Var N |Bz|^2; any number.
        population: N, the complement's dimension.
        orthogonal: whether the z are orthogonal to each other; else they are independent.
    """

    forms: Tensor
    squares: Tensor
    lengths: Tensor
    crossed: Tensor
    population: int
    orthogonal: bool = True

    @property
    def variance(self) -> float:
        """Of a single form, from the Frobenius norm; see the module's last formula."""
        n = self.population
        if n < 2:
            return 0.0
        spread = float(self.squares.mean()) - float(self.forms.mean()) ** 2 / n
        return 2 * n**2 / ((n + 2) * (n - 1)) * max(spread, 0.0)

    @property
    def share(self) -> float:
        """Of the population that was drawn without replacement: r / N, or none of it."""
        return len(self.forms) / self.population if self.orthogonal else 0.0


def krylov_space(
    operator: Operator, count: int, room: int, generator: torch.Generator
) -> Deflation:
    """A on a block Krylov space of `count` dimensions, in a basis with `room` for more."""
    growing = Growing(operator, room)
    frontier = gaussian(operator, min(COLUMNS, count), generator)
    while len(growing.basis) < count:
        columns = frontier[:, : count - len(growing.basis)]
        frontier = growing.extend(columns, generator)
    return growing.deflation(spent=0)


def range_sketch(
    operator: Operator, count: int, room: int, generator: torch.Generator
) -> Deflation:
    """A on the range of A X, X of `count` random columns; fewer dimensions where A has low rank."""
    growing = Growing(operator, room)
    images = [products(operator, gaussian(operator, size, generator)) for size in blocks(count)]
    for image in images:
        growing.extend(image)
    return growing.deflation(spent=count)


@final
class Growing:
    """A basis with what A does on it, as it grows."""

    def __init__(self, operator: Operator, room: int) -> None:
        dtype = work_dtype(operator)
        self.basis = Basis(operator.size, dtype=dtype, device=operator.device, capacity=room)
        self._operator = operator
        self._rows: list[Tensor] = []
        self._lengths: list[float] = []
        self._rowwise = torch.zeros(operator.size, dtype=dtype, device=operator.device)

    def extend(self, vectors: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Add the columns' directions and take the products with them, shape (n, added).

        A column that adds nothing is left out, or replaced by a random one from `generator`.
        """
        added = []
        for vector in vectors.unbind(1):
            unit = unit_beyond(self.basis, vector)
            if unit is None and generator is not None:
                unit = random_unit(self._operator, self.basis, generator)
            if unit is not None:
                self.basis.append(unit)
                added.append(unit)
        if not added:
            return vectors[:, :0]
        units = torch.stack(added, 1)
        images = products(self._operator, units)
        self._record(units, images)
        return images

    def deflation(self, spent: int) -> Deflation:
        """What was found; `spent` products went into finding directions alone."""
        k = len(self.basis)
        projected = torch.zeros((k, k), dtype=torch.float64)
        for i, row in enumerate(self._rows):
            projected[i, : len(row)] = row
            projected[: len(row), i] = row
        lengths = torch.tensor(self._lengths, dtype=torch.float64)
        return Deflation(self.basis, projected, lengths, self._rowwise, spent + k)

    def _record(self, units: Tensor, images: Tensor) -> None:
        for unit, image in zip(units.unbind(1), images.unbind(1), strict=True):
            _, row = self.basis.orthogonalized(image)
            self._rows.append(row)
            self._lengths.append(norm(image))
            self._rowwise += unit * image


def unit_beyond(basis: Basis, vector: Tensor) -> Tensor | None:
    """The direction of `vector` orthogonal to the basis, or None where there is but rounding."""
    length = norm(vector)
    rest, _ = basis.orthogonalized(vector)
    left = norm(rest)
    if left <= CLOSURE_UNITS * torch.finfo(basis.dtype).eps * length or left == 0:
        return None
    rest, _ = basis.orthogonalized(rest / left)
    return rest / norm(rest)


def random_unit(operator: Operator, basis: Basis, generator: torch.Generator) -> Tensor:
    """A unit vector, uniform among those orthogonal to the basis."""
    rest, _ = basis.orthogonalized(gaussian(operator, 1, generator)[:, 0])
    rest, _ = basis.orthogonalized(rest / norm(rest))
    return rest / norm(rest)


def sampled(
    operator: Operator,
    deflation: Deflation,
    count: int,
    generator: torch.Generator,
    *,
    keep: bool = True,
) -> Samples:
    """`count` test vectors on the complement.

    They are added to the basis and orthogonal to each other; or independent, if not to be kept.
    """
    basis, k = deflation.basis, len(deflation.projected)
    n = operator.size - k
    forms, lengths, squares, crossed = [], [], [], []
    draw = orthogonal_units if keep else independent_units
    for size in blocks(count, BLOCK if keep else COLUMNS):
        tests = draw(operator, basis, size, generator)
        images = products(operator, tests)
        forms.append(n * dots(tests, images))
        lengths += [norm(image) for image in images.unbind(1)]
        gram = deflated_gram(basis, k, images)
        squares.append(n * gram.diagonal())
        crossed.append(2 * n**2 * gram.square()[torch.triu_indices(size, size, 1).unbind()])
    none = [torch.zeros(0, dtype=torch.float64)]
    return Samples(
        forms=torch.cat(none + forms),
        squares=torch.cat(none + squares),
        lengths=torch.tensor(lengths, dtype=torch.float64),
        crossed=torch.cat(none + crossed),
        population=n,
        orthogonal=keep,
    )


def orthogonal_units(
    operator: Operator, basis: Basis, count: int, generator: torch.Generator
) -> Tensor:
    """Random unit vectors orthogonal to the basis and to each other, (n, count), now part of it."""
    units = []
    for _ in range(count):
        units.append(random_unit(operator, basis, generator))
        basis.append(units[-1])
    return torch.stack(units, 1)


def independent_units(
    operator: Operator, basis: Basis, count: int, generator: torch.Generator
) -> Tensor:
    """Random unit vectors orthogonal to the basis, (n, count)."""
    return torch.stack([random_unit(operator, basis, generator) for _ in range(count)], 1)


def deflated_gram(basis: Basis, k: int, images: Tensor) -> Tensor:
    """The dot products of P A z for the images A z, float64; P takes out the first k vectors."""
    apart = [basis.orthogonalized(image) for image in images.unbind(1)]
    rests = torch.stack([rest for rest, _ in apart], 1)
    inside = torch.stack([coefficients[k:] for _, coefficients in apart], 1)
    return (rests.T @ rests).double().cpu() + inside.T @ inside


def weight_of(deflation: Deflation, samples: Samples) -> float:
    """Sum of |A v| over all directions: what the rounding of a trace is a share of."""
    beyond = samples.population * float(samples.lengths.mean()) if len(samples.lengths) else 0.0
    return float(deflation.lengths.sum()) + beyond
