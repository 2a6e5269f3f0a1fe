r"""Quasi-Newton directions from the last m pairs: d = -H g, with H never written down.

With S and Y of the pairs, oldest first, R the upper triangle of S'Y, D its diagonal, and gamma the
size s'y / y'y of the last pair:

    l-bfgs    a = R^-1 S'g
              c = R^-T (D a - gamma (Y'g - Y'Y a))
              H g = gamma g + S c - gamma Y a

    l-dfp     C = gamma Y'Y + L D^-1 L',   L = R' - D
              a = C^-1 (gamma Y'g + L D^-1 S'g)
              H g = gamma g - gamma Y a - S D^-1 (L'a - S'g)

    l-sr1     M = R + R' - D - gamma Y'Y
              H g = gamma g + (S - gamma Y) M^-1 (S - gamma Y)'g

L-BFGS is the two-loop recursion of Nocedal (1980) in the compact form of Byrd, Nocedal and
Schnabel (1994): the same direction, but two passes over the memory for a direction and the pair
after it together, where the recursion alone goes over it five times in 4 m small steps.

L-DFP serves a trust region, whose model with L-BFGS is L-DFP with s and y exchanged
(`directions.learned_model`).

L-SR1's H may be indefinite, where the loss's Hessian is. Where its direction does not descend the
gradient's is taken. M is solved with where its eigenvalues are above rounding.

J. Nocedal, *Math. Comput.* 35 (1980); D. Liu & J. Nocedal, *Math. Program.* 45 (1989); R. Byrd, J.
Nocedal & R. Schnabel, *Math. Program.* 63 (1994).

Memory: 2 m + 3 vectors. Time: 6 m n multiplications a step.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.first_length import first_step
from thalweg.minimize.directions.learned_model import LearnedModel
from thalweg.minimize.directions.models import Products
from thalweg.minimize.directions.pair import Pair, Sizes, damped, expected, is_curved
from thalweg.minimize.directions.pair_memory import PairMemory
from thalweg.minimize.directions.settings import check_count
from thalweg.minimize.inner_product import dot
from thalweg.operators import Operator

# Eigenvalues of M below this share of the largest are noise.
CERTAIN = 1e-8


class LimitedMemory(ABC):
    """d = -H g with an H made of the last pairs.

    Args:
        memory: m, the pairs kept.

    Attributes:
        rejected: pairs refused so far.
    """

    name: str
    needs: frozenset[Need] = frozenset()

    def __init__(self, memory: int = 10) -> None:
        check_count(type(self).__name__, "memory", memory)
        self.rejected = 0
        self._pairs = PairMemory(memory)
        self._gamma = 1.0

    @abstractmethod
    def _descended(self, g: Tensor) -> Tensor:
        """-H g."""

    @abstractmethod
    def _accepts(self, pair: Sizes) -> bool:
        """Whether a pair teaches what H can hold."""

    def propose(self, at: Place) -> Proposal:
        """-H g; -g, with the first step of a run, before anything was learned."""
        g = at.gradient
        if not len(self._pairs):
            return Proposal(-g, -dot(g, g), first_step(at.x, g))
        vector = self._descended(g)
        slope = dot(g, vector)
        if not slope < 0:
            vector = -self._gamma * g
            slope = dot(g, vector)
        return Proposal(vector, slope, curvature=-slope)

    def moved(self, before: Place, after: Place) -> None:
        """Learn from the step, if its pair teaches anything."""
        s, y = self._pairs.room(after.x)
        torch.sub(after.x, before.x, out=s)
        torch.sub(after.gradient, before.gradient, out=y)
        if (mended := self._mended(s, y, before.gradient)) is not y:
            y.copy_(mended)
        self._learn(after.gradient)

    def learn(self, taught: Pair) -> None:
        """Keep a pair, if it teaches anything."""
        for row, vector in zip(self._pairs.room(taught.s), (taught.s, taught.y), strict=True):
            row.copy_(vector)
        self._learn(taught.y)

    def _mended(self, s: Tensor, y: Tensor, g: Tensor) -> Tensor:
        """The y to learn from a step s that began where the gradient was g."""
        return y

    def _learn(self, vector: Tensor) -> None:
        """Keep the pair that was written, if it teaches anything; `vector` is multiplied next."""
        sizes = self._pairs.weigh(vector)
        if not self._accepts(sizes):
            self.rejected += 1
            self._pairs.drop()
            return
        self._pairs.keep()
        self._gamma = abs(sizes.sy) / sizes.yy

    def inverse(self) -> Operator | None:
        """H, where something was learned."""
        if not len(self._pairs):
            return None
        return Products(f"H of {self.name}", lambda v: -self._descended(v), self._pairs.youngest)

    @abstractmethod
    def model(self) -> LearnedModel:
        """B, for a trust region; nothing is learned yet."""

    def state_dict(self) -> dict[str, Any]:
        """The pairs and the size of the last."""
        return {**self._pairs.state_dict(), "gamma": self._gamma}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The same."""
        self._pairs.load_state_dict(state)
        self._gamma = float(state["gamma"])


@final
class LBFGS(LimitedMemory):
    """Limited-memory BFGS.

    Args:
        memory: m, the pairs kept; with n of them it is BFGS itself, but for how H begins.
        damping: Powell's, of pairs whose curvature is not positive enough; without it they are
            refused. For searches that do not see to the curvature.

    Raises:
        ValueError: `memory` is not positive.
    """

    name = "l-bfgs"

    def __init__(self, memory: int = 10, *, damping: bool = False) -> None:
        super().__init__(memory)
        self._damping = damping

    def model(self) -> LearnedModel:
        """B, which is the H of limited-memory DFP."""
        return LearnedModel(LDFP(self._pairs.capacity), damping=self._damping)

    def _descended(self, g: Tensor) -> Tensor:
        sg, yg = self._pairs.products(g)
        triangle, gamma = self._pairs.triangle(), self._gamma
        a = torch.linalg.solve_triangular(triangle, sg[:, None], upper=True)[:, 0]
        rest = triangle.diagonal() * a - gamma * (yg - self._pairs.changes() @ a)
        c = torch.linalg.solve_triangular(triangle.T, rest[:, None], upper=False)[:, 0]
        return self._pairs.added_to(-gamma, -c, gamma * a)

    def _accepts(self, pair: Sizes) -> bool:
        return is_curved(pair)

    def _mended(self, s: Tensor, y: Tensor, g: Tensor) -> Tensor:
        if not self._damping or not len(self._pairs):
            return y
        return damped(Pair(s, y, dot(s, y)), expected(s, g, self._descended(g))).y


@final
class LDFP(LimitedMemory):
    """Limited-memory DFP.

    Args:
        memory: m, the pairs kept.

    Raises:
        ValueError: `memory` is not positive.
    """

    name = "l-dfp"

    def model(self) -> LearnedModel:
        """B, which is the H of L-BFGS."""
        return LearnedModel(LBFGS(self._pairs.capacity))

    def _descended(self, g: Tensor) -> Tensor:
        sg, yg = self._pairs.products(g)
        triangle, gamma = self._pairs.triangle(), self._gamma
        inner, older = triangle.diagonal(), triangle.triu(1)  # D and L'
        known = sg / inner
        middle = gamma * self._pairs.changes() + older.T @ (older / inner[:, None])
        a = solved(middle, gamma * yg + older.T @ known)
        return self._pairs.added_to(-gamma, (older @ a) / inner - known, gamma * a)

    def _accepts(self, pair: Sizes) -> bool:
        return is_curved(pair)


@final
class LSR1(LimitedMemory):
    """Limited-memory SR1.

    Args:
        memory: m, the pairs kept.

    Raises:
        ValueError: `memory` is not positive.
    """

    name = "l-sr1"

    def model(self) -> LearnedModel:
        """B, which is L-SR1's own H."""
        return LearnedModel(LSR1(self._pairs.capacity))

    def _descended(self, g: Tensor) -> Tensor:
        sg, yg = self._pairs.products(g)
        # With the whole size the last pair would already be satisfied, and M singular.
        triangle, gamma = self._pairs.triangle(), self._gamma / 2
        middle = triangle + triangle.T - triangle.diagonal().diag()
        w = solved(middle - gamma * self._pairs.changes(), sg - gamma * yg)
        return self._pairs.added_to(-gamma, -w, gamma * w)

    def _accepts(self, pair: Sizes) -> bool:
        return pair.sy != 0


def solved(matrix: Tensor, rhs: Tensor) -> Tensor:
    """x of A x = b for a symmetric A whose rows may differ in size, without its noise."""
    sizes = matrix.diagonal().abs().sqrt().clamp_min(torch.finfo(matrix.dtype).tiny)
    values, vectors = torch.linalg.eigh(matrix / sizes[:, None] / sizes)
    certain = values.abs() > CERTAIN * values.abs().max()
    inverses = torch.where(certain, 1 / values, 0.0)
    solution: Tensor = vectors @ (inverses * (vectors.T @ (rhs / sizes))) / sizes
    return solution
