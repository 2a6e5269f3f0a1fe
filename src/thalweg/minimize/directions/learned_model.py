r"""Models of a trust region that are learned from steps: B by the quasi-Newton updates.

A quasi-Newton method that knows H, the inverse, maps each change y of the gradient to the step s.
One that knows B maps s to y. With s and y exchanged the one's formulas are the other's:

    B of BFGS  is  H of DFP      B of DFP  is  H of BFGS      B of SR1  is  H of SR1

(J. Nocedal & S. Wright, *Numerical Optimization*, 2006, section 6.1). So a model is the dual
direction, taught with s and y exchanged, and there is no formula here.

It is taught by every trial step, also by those that are not taken: a step that disappointed says
the most about where the model is wrong (algorithm 6.2 there, for SR1, which may follow a Hessian
through indefiniteness and so is at home in a trust region). Before the first trial B = 0: the model
is the gradient's plane, its minimum on the region's boundary.
"""

from collections.abc import Mapping
from typing import Any, Protocol, final

import torch

from thalweg.minimize.contract import Need, Place
from thalweg.minimize.directions.models import Products
from thalweg.minimize.directions.pair import Pair, damped, pair
from thalweg.operators import Operator


class Learner(Protocol):
    """What a learned model asks of its dual direction."""

    @property
    def rejected(self) -> int:
        """Pairs refused so far."""
        ...

    def inverse(self) -> Operator | None:
        """H; None before anything was learned."""
        ...

    def learn(self, taught: Pair) -> None:
        """Update H, if the pair teaches anything."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """A copy of what was learned."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The same."""
        ...


@final
class LearnedModel:
    """B of a quasi-Newton method.

    Args:
        dual: the direction whose H becomes B when s and y are exchanged; nothing learned yet.
        damping: Powell's, of pairs whose curvature is not positive enough.

    Attributes:
        rejected: pairs refused so far.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(self, dual: Learner, *, damping: bool = False) -> None:
        self._dual, self._damping = dual, damping

    @property
    def rejected(self) -> int:
        """Pairs refused so far."""
        return self._dual.rejected

    def at(self, place: Place) -> Operator:
        """B, the same wherever it is asked for; 0 before anything was learned."""
        known = self._dual.inverse()
        return Products("0", torch.zeros_like, place.x) if known is None else known

    def tried(self, before: Place, after: Place) -> bool:
        """Learn from the step to `after`; whether its pair was not refused."""
        taught = pair(before, after)
        known = self._dual.inverse()
        if self._damping and known is not None:
            taught = damped(taught, known @ taught.s)
        rejected = self.rejected
        self._dual.learn(Pair(taught.y, taught.s, taught.sy))
        return self.rejected == rejected

    def state_dict(self) -> dict[str, Any]:
        """The dual's."""
        return self._dual.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The dual's."""
        self._dual.load_state_dict(state)
