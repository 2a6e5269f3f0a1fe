r"""Levenberg-Marquardt: Gauss-Newton held back towards gradient descent.

    (B + lambda D^2) d = -g,     D^2 = I (Levenberg) or diag(B) (Marquardt)

As lambda vanishes d is Gauss-Newton's step; as it grows d tends to -D^-2 g / lambda, a short step
of (scaled) gradient descent, whose direction is right wherever the model is wrong. lambda follows
the reduction ratio by Nielsen's rule; a step that the search had to shorten counts as refused. With
Marquardt's scale the steps do not depend on the units of the parameters, and lambda has none;
diag(B) is the largest seen, so that D does not shrink where a residual saturates.

K. Levenberg, *Quart. Appl. Math.* 2 (1944); D. Marquardt, *SIAM J. Appl. Math.* 11 (1963); J. More,
in *Numerical Analysis* (1978), on the largest scale seen; H. Nielsen, IMM-REP-1999-05; S. Wright &
J. Holt, *J. Austral. Math. Soc. B* 26 (1985), on inexact steps.

Cost: that of `GaussNewton`.
"""

from collections.abc import Mapping
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor

from thalweg.linalg.products import length
from thalweg.minimize.contract import Place, Proposal
from thalweg.minimize.directions.damped_model import DampedModel
from thalweg.minimize.directions.damping import Nielsen
from thalweg.minimize.directions.gauss_newton import Models
from thalweg.minimize.directions.least_squares import ResidualFunction
from thalweg.minimize.directions.models import Asked
from thalweg.minimize.directions.quadratic_model import Promise, proposed, restored, saved
from thalweg.minimize.directions.settings import check_choice, check_positive

Scale = Literal["marquardt", "identity"]

# A step shorter than this share of d was shortened by the search.
WHOLE = 0.999


@final
class LevenbergMarquardt:
    """The Levenberg-Marquardt method.

    Args:
        residuals: r(x), from a flat vector of shape (n,) to a tensor, of a loss that is a multiple
            of |r|^2; None takes the place's Gauss-Newton matrix.
        scale: D^2: "marquardt" for the diagonal of B, "identity" for I; None for the former up to
            `largest` parameters and the latter beyond.
        damping: lambda at the start; without Marquardt's scale as a share of the largest entry of
            diag(B), or of the curvature along the gradient where that diagonal is not known.
        largest: up to so many parameters a matrix is written down; beyond, LSMR or CG solve, and
            `scale` cannot be "marquardt".
        tol: of the iterative solution; None for 1e-6 by LSMR and 0.1 by CG, |(B + lambda I) d + g|
            <= 0.1 |g|: a trial step is not worth more.
        max_products: in a step, of the same.

    Attributes:
        damping: lambda of the next step; None before the first.

    Raises:
        ValueError: a setting out of its domain; from `propose`, the loss is no multiple of |r|^2,
            or Marquardt's scale is wanted of more parameters than `largest`.
    """

    name = "levenberg-marquardt"

    def __init__(
        self,
        residuals: ResidualFunction | None = None,
        *,
        scale: Scale | None = None,
        damping: float = 1e-3,
        largest: int = 500,
        tol: float | None = None,
        max_products: int = 500,
    ) -> None:
        if scale is not None:
            check_choice(type(self).__name__, "scale", scale, get_args(Scale))
        check_positive(type(self).__name__, "damping", damping)
        self.models = Models(
            type(self).__name__, residuals, largest=largest, tol=tol, max_products=max_products
        )
        self.needs, self.scale, self.share = self.models.needs, scale, damping
        self._nielsen: Nielsen | None = None
        self._scale: Tensor | None = None
        self._promise: Promise | None = None

    @property
    def damping(self) -> float | None:
        """lambda of the next step; None before the first."""
        return None if self._nielsen is None else self._nielsen.damping

    def model(self) -> Asked:
        """B; the radius takes the damping's place, which is how More (1978) drives the method."""
        return self.models.model()

    def propose(self, at: Place) -> Proposal:
        """The damped step."""
        model = self.models.at(at)
        diagonal = model.diagonal()
        if self._wants(diagonal):
            self._scale = larger(self._scale, self._known(diagonal, at))
        if self._nielsen is None:
            self._nielsen = Nielsen(self._first(model, diagonal, at))
        d = model.step(self._nielsen.damping, self._scale)
        proposal = proposed(d, at.gradient, curvature=model.curvature(d))
        self._promise = Promise.of(proposal)
        return proposal

    def moved(self, before: Place, after: Place) -> None:
        """The next damping."""
        if self._promise is None or self._nielsen is None:
            return
        whole = self._promise.taken(before, after) >= WHOLE
        self._nielsen = self._nielsen.after(self._promise.ratio(before, after) if whole else 0.0)

    def state_dict(self) -> dict[str, Any]:
        """The damping, what it grows by, Marquardt's scale, and what the last step promised."""
        return {
            "damping": self.damping,
            "growth": None if self._nielsen is None else self._nielsen.growth,
            "scale": None if self._scale is None else self._scale.clone(),
            "promise": saved(self._promise),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this direction."""
        scale, damping = state["scale"], state["damping"]
        self._nielsen = None if damping is None else Nielsen(damping, state["growth"])
        self._scale = None if scale is None else scale.clone()
        self._promise = restored(state["promise"])

    def _first(self, model: DampedModel, diagonal: Tensor | None, at: Place) -> float:
        if self._wants(diagonal):
            return self.share
        if diagonal is not None:
            return self.share * float(diagonal.max())
        size = length(at.gradient)
        return self.share * model.curvature(at.gradient / size) if size else 0.0

    def _wants(self, diagonal: Tensor | None) -> bool:
        """Whether Marquardt's scale is asked for, or can be had where nothing is asked for."""
        return self.scale == "marquardt" or (self.scale is None and diagonal is not None)

    def _known(self, diagonal: Tensor | None, at: Place) -> Tensor:
        if diagonal is None:
            raise ValueError(
                f"LevenbergMarquardt(scale='marquardt'): it needs the diagonal of a matrix of "
                f"{len(at.x)} parameters, which is written down for at most "
                f"largest={self.models.largest}. Use scale='identity', or allow more."
            )
        return diagonal


def larger(before: Tensor | None, now: Tensor) -> Tensor:
    """Entry by entry the larger; `now` at first."""
    return now if before is None else torch.maximum(before, now)
