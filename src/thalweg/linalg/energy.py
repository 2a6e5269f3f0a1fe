r"""How far conjugate gradients are from the solution, in the norm |e|_A = sqrt(e'A e).

Each step takes alpha_j |r_j|^2 off the square of the error (Hestenes & Stiefel, *J. Res. Nat. Bur.
Standards* 49, 1952, theorem 6:1):

    |x - x_k|_A^2 - |x - x_{k+d}|_A^2  =  sum_{j=k}^{k+d-1} alpha_j |r_j|^2,

so d steps later the sum bounds the error at step k from below, and where the error fell by a factor
in between it is near it (Strakos & Tichy, *ETNA* 13, 2002). For the last iterate it is an estimate
on the safe side: it is that of d steps ago.

If no eigenvalue is below mu > 0, the Gauss-Radau rule bounds the error from above (Golub & Meurant,
*BIT* 37, 1997), as Meurant & Tichy (*Numer. Algorithms* 62, 2013) write it:

    |x - x_k|_A^2 <= g_k |r_k|^2,   g_0 = 1/mu,
    g_{j+1} = (g_j - alpha_j) / (mu (g_j - alpha_j) + |r_{j+1}|^2 / |r_j|^2).

With a preconditioner M, |r|^2 is r'M r, and mu would have to bound M A.
"""

import math
from dataclasses import dataclass
from typing import final

# d, in steps.
DELAY = 10


@final
@dataclass(frozen=True)
class Energy:
    """What the steps so far say about the error in the energy norm.

    Attributes:
        gap: mu; 0 where none is known.
        taken: alpha_j |r_j|^2 of the last `DELAY` steps.
        square: |r_k|^2.
        factor: g_k, infinite without mu.
    """

    gap: float
    taken: tuple[float, ...]
    square: float
    factor: float

    @classmethod
    def start(cls, gap: float, square: float) -> "Energy":
        """Before the first step."""
        return cls(gap, (), square, 1 / gap if gap else math.inf)

    def stepped(self, alpha: float, square: float) -> "Energy":
        """After a step of length alpha to a residual with this |r|^2."""
        taken = (*self.taken, alpha * self.square)[-DELAY:]
        return Energy(self.gap, taken, square, self._next_factor(alpha, square))

    @property
    def estimate(self) -> float | None:
        """Of the error's norm: that of `DELAY` steps ago, from below; None before any step."""
        return math.sqrt(sum(self.taken)) if self.taken else None

    @property
    def bound(self) -> float | None:
        """On the error's norm, in exact arithmetic; None without mu."""
        return math.sqrt(self.factor * self.square) if self.gap else None

    def _next_factor(self, alpha: float, square: float) -> float:
        rest = self.factor - alpha
        if not self.gap or rest <= 0 or square == 0:
            return 1 / self.gap if self.gap else math.inf
        return rest / (self.gap * rest + square / self.square)
