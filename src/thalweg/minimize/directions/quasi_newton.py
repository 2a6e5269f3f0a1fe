r"""Quasi-Newton directions with a dense matrix: d = -H g, H an inverse Hessian learned from steps.

With s and y of the last step (`directions.pair`) and rho = 1 / s'y:

    bfgs    H <- (I - rho s y') H (I - rho y s') + rho s s'
    dfp     H <- H - H y y'H / y'H y + rho s s'
    sr1     H <- H + r r' / r'y,    r = s - H y

All three make H y = s, which the true inverse of a quadratic's Hessian does. Before its first
update H is the identity times s'y / y'y, the size that the pair says. On a quadratic with exact
steps BFGS and DFP go where conjugate gradients go, and H is the inverse after n steps.

BFGS mends a bad estimate, DFP hardly does; SR1 need not stay positive definite, which lets it learn
negative curvature, and lets its direction fail to descend: there the gradient's is taken.

C. Broyden, R. Fletcher, D. Goldfarb & D. Shanno (1970); W. Davidon (1959), R. Fletcher & M. Powell
(1963); A. Conn, N. Gould & P. Toint, *Math. Program.* 50 (1991), on SR1; J. Nocedal & S. Wright,
*Numerical Optimization* (2006), chapter 6.

Memory: n^2 numbers. Time: about 4 n^2 multiplications a step.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.first_length import first_step
from thalweg.minimize.directions.learned_model import LearnedModel
from thalweg.minimize.directions.pair import Pair, damped, expected, is_curved, pair
from thalweg.minimize.inner_product import dot, length
from thalweg.operators import Matrix, Operator

# The least cosine of r and y: below it SR1's update is noise (Nocedal & Wright, eq. 6.26).
CERTAIN = 1e-8


class QuasiNewton(ABC):
    """d = -H g with a dense H.

    Args:
        damping: Powell's, of pairs whose curvature is not positive enough; without it they are
            refused. For searches that do not see to the curvature.

    Attributes:
        rejected: pairs refused so far.
    """

    name: str
    needs: frozenset[Need] = frozenset()
    first = 1.0  # of the size that the first pair says, how much H begins with

    def __init__(self, *, damping: bool = False) -> None:
        self.rejected = 0
        self._damping = damping
        self._inverse: Tensor | None = None  # H
        self._size = 1.0  # of the last pair, s'y / y'y

    @abstractmethod
    def _updated(self, inverse: Tensor, taught: Pair) -> Tensor | None:
        """H after the pair; None if it is refused."""

    def propose(self, at: Place) -> Proposal:
        """-H g; -g, with the first step of a run, before anything was learned."""
        g = at.gradient
        if self._inverse is None:
            return Proposal(-g, -dot(g, g), first_step(at.x, g))
        vector = -(self._inverse @ g)
        slope = dot(g, vector)
        if not slope < 0:
            vector = -self._size * g
            slope = dot(g, vector)
        return Proposal(vector, slope, curvature=-slope)

    def moved(self, before: Place, after: Place) -> None:
        """Learn from the step, if its pair teaches anything."""
        taught = pair(before, after)
        if self._damping and self._inverse is not None:
            taught = damped(
                taught, expected(taught.s, before.gradient, self._inverse @ before.gradient)
            )
        self.learn(taught)

    def learn(self, taught: Pair) -> None:
        """Update H, if the pair teaches anything."""
        size = abs(taught.sy) / dot(taught.y, taught.y) if taught.sy else self._size
        updated = self._updated(self._sized(taught.s, size), taught)
        if updated is None:
            self.rejected += 1
        else:
            self._inverse, self._size = updated, size

    def inverse(self) -> Operator | None:
        """H, where something was learned."""
        return None if self._inverse is None else Matrix(self._inverse, name=f"H of {self.name}")

    @abstractmethod
    def model(self) -> LearnedModel:
        """B, for a trust region; nothing is learned yet."""

    def _sized(self, s: Tensor, size: float) -> Tensor:
        """H, or before anything was learned the identity in the size that the pair says."""
        if self._inverse is not None:
            return self._inverse
        return self.first * size * torch.eye(len(s), dtype=s.dtype, device=s.device)

    def state_dict(self) -> dict[str, Any]:
        """H and the size of the last pair."""
        inverse = None if self._inverse is None else self._inverse.clone()
        return {"inverse": inverse, "size": self._size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """H and the size of the last pair."""
        inverse = state["inverse"]
        self._inverse = None if inverse is None else inverse.clone()
        self._size = float(state["size"])


@final
class BFGS(QuasiNewton):
    """The update of Broyden, Fletcher, Goldfarb and Shanno."""

    name = "bfgs"

    def model(self) -> LearnedModel:
        """B, which is DFP's H."""
        return LearnedModel(DFP(), damping=self._damping)

    def _updated(self, inverse: Tensor, taught: Pair) -> Tensor | None:
        if not is_curved(taught.sizes):
            return None
        s, rho = taught.s, 1 / taught.sy
        hy = inverse @ taught.y
        cross = torch.outer(s, hy)
        return inverse - rho * (cross + cross.T) + rho * (1 + rho * dot(taught.y, hy)) * outer(s)


@final
class DFP(QuasiNewton):
    """The update of Davidon, Fletcher and Powell."""

    name = "dfp"

    def model(self) -> LearnedModel:
        """B, which is the H of BFGS."""
        return LearnedModel(BFGS(), damping=self._damping)

    def _updated(self, inverse: Tensor, taught: Pair) -> Tensor | None:
        if not is_curved(taught.sizes):
            return None
        hy = inverse @ taught.y
        return inverse - outer(hy) / dot(taught.y, hy) + outer(taught.s) / taught.sy


@final
class SR1(QuasiNewton):
    """The symmetric update of rank one."""

    name = "sr1"
    first = 0.5  # with the whole of it r'y would be zero at the first pair

    def __init__(self) -> None:
        super().__init__(damping=False)

    def model(self) -> LearnedModel:
        """B, which is SR1's own H."""
        return LearnedModel(SR1())

    def _updated(self, inverse: Tensor, taught: Pair) -> Tensor | None:
        r = taught.s - inverse @ taught.y
        ry = dot(r, taught.y)
        if not abs(ry) > CERTAIN * length(r) * length(taught.y):
            return None
        return inverse + outer(r) / ry


def outer(vector: Tensor) -> Tensor:
    """v v'."""
    return torch.outer(vector, vector)
