"""Models of a trust region that are asked for: the Hessian and its positive stand-ins.

A line search takes a direction that a matrix was solved for; a trust region takes the matrix, and
solves within its radius. So a direction that is made of a matrix B can be driven by either.
"""

from collections.abc import Callable, Mapping
from typing import Any, final

from torch import Tensor

from thalweg.minimize.contract import Need, Place
from thalweg.operators import Operator


@final
class Asked:
    """A matrix that the place is asked for; nothing is learned from steps.

    Args:
        matrix: from a place to B.
        needs: the matrices that it asks places for.
    """

    def __init__(self, matrix: Callable[[Place], Operator], *needs: Need) -> None:
        self.needs = frozenset(needs)
        self._matrix = matrix

    def at(self, place: Place) -> Operator:
        """B there."""
        return self._matrix(place)

    def tried(self, before: Place, after: Place) -> bool:
        """Nothing is learned from a step."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing is to be restored."""


def hessian_model() -> Asked:
    """B = H."""
    return Asked(lambda place: place.hessian(), "hessian")


def gauss_newton_model() -> Asked:
    """B is the Gauss-Newton matrix."""
    return Asked(lambda place: place.gauss_newton(), "gauss-newton")


def fisher_model() -> Asked:
    """B = F, the Fisher information."""
    return Asked(lambda place: place.fisher(), "fisher")


@final
class Products(Operator):
    """A symmetric matrix known by a function that gives its products.

    Args:
        name: what error messages call it.
        product: from v, shape (n,), to B v.
        like: a vector of shape (n,), for the size, the precision and the device.
        facts: what is known of it; see `operators.operator`.
    """

    def __init__(
        self,
        name: str,
        product: Callable[[Tensor], Tensor],
        like: Tensor,
        facts: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.size, self.facts = name, len(like), facts
        self.dtype, self.device = like.dtype, like.device
        self._times = product

    def _product(self, vector: Tensor) -> Tensor:
        return self._times(vector)
