"""What the matrix-free Newton methods share: how exactly to solve, and what is remembered of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from thalweg.linalg.products import length
from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.escape import escape
from thalweg.minimize.directions.forcing import LARGEST, forcing
from thalweg.minimize.directions.models import Asked, hessian_model
from thalweg.minimize.directions.settings import check_count, check_share
from thalweg.operators import Operator


class InexactNewton(ABC):
    """A Newton step solved for as exactly as the forcing sequence says.

    Args:
        eta: |H d + g| <= eta |g| at every step; None for the forcing sequence.
        max_products: with the Hessian, in a step.

    Attributes:
        eta: of the next step.
    """

    name: str
    needs: frozenset[Need] = frozenset({"hessian"})

    def __init__(self, *, eta: float | None = None, max_products: int = 250) -> None:
        check_share(type(self).__name__, "eta", eta)
        check_count(type(self).__name__, "max_products", max_products)
        self.fixed, self.max_products = eta is not None, max_products
        self.eta = LARGEST if eta is None else eta

    @abstractmethod
    def solve(self, hessian: Operator, gradient: Tensor) -> Proposal:
        """The step, for a gradient that is not zero."""

    def model(self) -> Asked:
        """B = H."""
        return hessian_model()

    def propose(self, at: Place) -> Proposal:
        """The step; where the gradient is zero, the way out if there is one."""
        if not bool(at.gradient.any()):
            return escape(at.hessian(), at.x, self.max_products)
        return self.solve(at.hessian(), at.gradient)

    def moved(self, before: Place, after: Place) -> None:
        """The next eta; a gradient that became zero says nothing of the next one."""
        size = length(before.gradient)
        if size and not self.fixed:
            self.eta = forcing(size, length(after.gradient)) or self.eta

    def state_dict(self) -> dict[str, Any]:
        """The next eta."""
        return {"eta": self.eta}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this direction."""
        self.eta = float(state["eta"])
