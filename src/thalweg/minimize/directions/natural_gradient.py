r"""Natural gradient descent: the steepest way down by what the model predicts.

    d = -(F + lambda I)^-1 g,       F = E[g g'], the Fisher information

F measures how far the predictions move, KL(p(x; w) || p(x; w + d)) = d'Fd / 2 to second order. So
without damping the step is the same prediction after it in whatever parameters the model is
written; damping, which measures the parameters, gives some of that up where F is nearly singular.
lambda follows the reduction ratio by Levenberg and Marquardt's rule.

S. Amari, *Natural gradient works efficiently in learning* (Neural Computation, 1998); J. Martens,
*New insights and perspectives on the natural gradient method* (arXiv 1412.1193), section 6.

Cost: dense, n products and ten n^3 operations; beyond `largest` parameters, a product for each step
of CG.
"""

from collections.abc import Mapping
from typing import Any, final

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.damped_model import DampedModel, DenseModel, ProductModel
from thalweg.minimize.directions.damping import first_damping, thresholds
from thalweg.minimize.directions.models import Asked, fisher_model
from thalweg.minimize.directions.quadratic_model import Promise, proposed, restored, saved
from thalweg.minimize.directions.settings import (
    check_count,
    check_not_negative,
    check_positive,
    check_share,
)


@final
class NaturalGradient:
    """Natural gradient descent with the Fisher information, dense or by products.

    Args:
        damping: lambda at the start, as a share of F's curvature along the first gradient; 0 for
            none, ever. Where F is singular to rounding, the step then is the shortest in units of
            1 / sqrt(F_ii).
        step: alpha, the step that the search tries first.
        largest: up to so many parameters F is written down; beyond, CG solves with products.
        tol: of that solution, |(F + lambda I) d + g| <= tol |g|.
        max_products: in a step, of the same.

    Attributes:
        damping: lambda of the next step; None before the first.

    Raises:
        ValueError: a setting out of its domain.
    """

    name = "natural-gradient"
    needs: frozenset[Need] = frozenset({"fisher"})

    def __init__(
        self,
        *,
        damping: float = 0.1,
        step: float = 1.0,
        largest: int = 500,
        tol: float = 1e-6,
        max_products: int = 500,
    ) -> None:
        check_not_negative(type(self).__name__, "damping", damping)
        check_positive(type(self).__name__, "step", step)
        check_count(type(self).__name__, "largest", largest)
        check_share(type(self).__name__, "tol", tol)
        check_count(type(self).__name__, "max_products", max_products)
        self.share, self.step, self.largest = damping, step, largest
        self.tol, self.max_products = tol, max_products
        self.damping: float | None = None
        self._promise: Promise | None = None

    def model(self) -> Asked:
        """B = F; the radius takes the damping's place."""
        return fisher_model()

    def propose(self, at: Place) -> Proposal:
        """The natural gradient's step."""
        if not self.damping:
            fresh = first_damping(at.fisher(), at.gradient, self.share) if self.share else 0.0
            self.damping = fresh
        model = self._model(at)
        # Without damping nothing measures the parameters; nor is their unit to, by rounding.
        d = model.step(self.damping, None if self.damping else model.diagonal())
        proposal = proposed(d, at.gradient, curvature=model.curvature(d), first=self.step)
        self._promise = Promise.of(proposal)
        return proposal

    def moved(self, before: Place, after: Place) -> None:
        """The next damping."""
        if self._promise is not None and self.damping is not None:
            ratio = self._promise.ratio(before, after)
            self.damping = thresholds(self.damping, ratio, self._promise.bend)

    def state_dict(self) -> dict[str, Any]:
        """The damping, and what the last step promised."""
        return {"damping": self.damping, "promise": saved(self._promise)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this direction."""
        self.damping, self._promise = state["damping"], restored(state["promise"])

    def _model(self, at: Place) -> DampedModel:
        fisher = at.fisher()
        if len(at.x) <= self.largest:
            return DenseModel(fisher.to_dense(), at.gradient)
        return ProductModel(fisher, at.gradient, self.tol, self.max_products)
