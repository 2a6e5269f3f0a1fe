r"""Steepest descent: d = -g.

A. Cauchy, *Comptes rendus* 25 (1847). With exact steps on a quadratic of condition number k the
loss falls by ((k - 1) / (k + 1))^2 a step at worst (H. Akaike, 1959): every other method here
exists to do better.
"""

from collections.abc import Mapping
from typing import Any, final

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.first_length import FirstLength
from thalweg.minimize.directions.models import Asked, hessian_model
from thalweg.minimize.inner_product import dot


@final
class SteepestDescent:
    """Down the gradient; the first step to try is one that would gain what the last one gained."""

    name = "steepest-descent"
    needs: frozenset[Need] = frozenset()

    def __init__(self) -> None:
        self._length = FirstLength()

    def model(self) -> Asked:
        """B = H, which says how far the gradient lasts."""
        return hessian_model()

    def propose(self, at: Place) -> Proposal:
        """-g."""
        slope = -dot(at.gradient, at.gradient)
        return self._length.proposal(at, -at.gradient, slope)

    def moved(self, before: Place, after: Place) -> None:
        """Remember what the step met."""
        self._length.moved(before, after)

    def state_dict(self) -> dict[str, Any]:
        """What the last step met."""
        return self._length.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What the last step met."""
        self._length.load_state_dict(state)
