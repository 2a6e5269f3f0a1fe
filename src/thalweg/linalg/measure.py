r"""How a vector sees a spectrum: its spectral measure, by Gauss quadrature.

For a unit vector b with components c_i on the eigenvectors, b'f(A) b = sum c_i^2 f(lambda_i): an
integral over the measure that has the weight c_i^2 at lambda_i. Lanczos' T after m products from b
gives its m-point Gauss rule: the nodes are the eigenvalues of T, the weights the squares of their
eigenvectors' first entries. It is exact for polynomials of degree 2m - 1; where the space closes,
for every f. G. Golub & G. Meurant, *Matrices, Moments and Quadrature* (2010), chapters 3 and 7.

What it knows of the distribution function F is bounded by the Chebyshev-Markov-Stieltjes
inequalities: at a node, F is at least the weights before it and at most those with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.krylov import Krylov, Ritz
from thalweg.operators import Operator

Function = Callable[[Tensor], Tensor]


@final
@dataclass(frozen=True, eq=False)
class Measure:
    """A discrete measure of total weight 1, as m nodes; float64, shape (m,) each.

    Attributes:
        nodes: ascending.
        weights: at least 0.
        errors: within which of its node an eigenvalue lies.
        closed: whether the nodes are eigenvalues, and there is nothing else.
        coarse: the rule of three quarters of the products, or itself where it is closed.
    """

    nodes: Tensor
    weights: Tensor
    errors: Tensor
    closed: bool
    coarse: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, krylov: Krylov) -> "Measure":
        """That of the vector which `krylov` started from."""
        ritz = krylov.ritz()
        rule = ritz.values, ritz.weights[0].square()
        before = earlier(ritz, max(1, 3 * len(ritz.values) // 4))
        coarse = rule if krylov.closed else (before.nodes, before.weights)
        return cls(*rule, ritz.errors, krylov.closed, coarse)

    def without(self, found: Tensor) -> "Measure":
        """The measure of b less its components on the eigenvectors of some nodes, at length 1.

        Args:
            found: which nodes; boolean, shape (m,), not all.
        """
        rest = 1 - self.weights[found].sum()
        coarse = torch.cat([self.coarse[0], self.nodes[found]])
        weights = torch.cat([self.coarse[1], -self.weights[found]])
        kept = self.nodes[~found], self.weights[~found] / rest, self.errors[~found]
        return Measure(*kept, self.closed, (coarse, weights / rest))

    @property
    def reach(self) -> Tensor:
        """How far to either side of its node a weight is spread, shape (m,).

        An atom where its eigenvalue is known well; else up to half way to the nearer neighbour.
        """
        if len(self.nodes) == 1:
            return self.errors
        gaps = self.nodes.diff()
        nearer = torch.minimum(torch.cat([gaps[:1], gaps]), torch.cat([gaps, gaps[-1:]])) / 2
        return torch.minimum(nearer, self.errors)

    def below(self, x: Tensor) -> Tensor:
        """The weight up to each x, shape (k,), with the nodes spread over their `reach`."""
        reach = self.reach.clamp_min(torch.finfo(torch.float64).tiny)
        passed = (x[:, None] - self.nodes + reach) / (2 * reach)
        return passed.clamp(0, 1) @ self.weights

    def bounds(self, x: float) -> tuple[float, float]:
        """Between which the weight up to x lies."""
        sums = torch.cat([torch.zeros(1, dtype=torch.float64), self.weights.cumsum(0)])
        passed = int((self.nodes <= x).sum())
        if self.closed:
            return float(sums[passed]), float(sums[passed])
        return float(sums[max(passed - 1, 0)]), float(sums[min(passed + 1, len(self.weights))])

    def integral(self, function: Function) -> float:
        """The integral of f, by the Gauss rule."""
        return weighted(self.nodes, self.weights, function)

    def doubt(self, function: Function) -> float:
        """How far the integral moved with the last quarter of the products."""
        return abs(self.integral(function) - weighted(*self.coarse, function))


def weighted(nodes: Tensor, weights: Tensor, function: Function) -> float:
    """The sum of f at the nodes by weight; a node without weight does not count."""
    seen = weights != 0
    return float(weights[seen] @ function(nodes[seen]))


def spectral_measure(
    operator: Operator, start: Tensor, steps: int, *, seed: int = 0
) -> tuple[Measure, int]:
    """The measure of `start`, shape (n,), and the products taken: at most `steps`.

    Raises:
        FloatingPointError: a product is not finite.
        ValueError: `start` is zero or not finite.
    """
    krylov = Krylov(operator, seed=seed, start=start)
    while krylov.dimension < steps and not krylov.complete and not krylov.closed:
        krylov.grow()
    return Measure.of(krylov), krylov.products


def earlier(ritz: Ritz, products: int) -> Measure:
    """The measure as it was after so many products."""
    tridiagonal = (ritz.weights * ritz.values) @ ritz.weights.T
    values, weights = torch.linalg.eigh(tridiagonal[:products, :products])
    beta = float(tridiagonal[products - 1, products].abs()) if products < len(ritz.values) else 0.0
    rule = values, weights[0].square()
    return Measure(*rule, beta * weights[-1].abs() + ritz.rounding, False, rule)


def distance(one: Measure, other: Measure) -> float:
    """The area between two distribution functions (Wasserstein's distance of order 1)."""
    kinks = [m.nodes + sign * m.reach for m in (one, other) for sign in (-1, 1)]
    x = torch.cat(kinks).sort().values
    middle = (x[1:] + x[:-1]) / 2  # in between both rise in lines
    return float((one.below(middle) - other.below(middle)).abs() @ x.diff())
