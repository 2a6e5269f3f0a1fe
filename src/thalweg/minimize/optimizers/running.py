"""A method at work on the parameters that an optimizer holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.contract import Direction, LineSearch
from thalweg.minimize.loop import Loop
from thalweg.minimize.names import search_named, suited_search
from thalweg.minimize.objective import Objective
from thalweg.minimize.optimizers.closure_loss import ClosureLoss
from thalweg.minimize.optimizers.lengthened import Lengthened
from thalweg.minimize.optimizers.loading import placed
from thalweg.minimize.optimizers.method import Method
from thalweg.minimize.optimizers.stride import Ending, Limits, stride
from thalweg.minimize.searches import Fixed, TrustRegion
from thalweg.minimize.tolerance import Tolerance

Search = LineSearch | TrustRegion

UNASKED = Ending("stalled", "no step was taken yet")
STILL = Ending("stalled", "lr is 0")
FLAT = Ending("stalled", "no parameter has a gradient: the closure's loss depends on none of them")
ILL = Ending("not finite", "the loss or its gradient is not a finite number where the step began")


@final
@dataclass(frozen=True)
class Report:
    """What became of the last call of `step`; the losses are floats, None before the first."""

    ending: Ending = UNASKED
    before: float | None = None
    after: float | None = None


@final
class Running:
    """A method at work on certain parameters.

    Args:
        loss: of the closures.
        method, settings: of the direction.
        search: how far to go: a name, an object, or None for PyTorch's steps of length `lr`.

    Attributes:
        loop: where the method stands.
        fits: whether a call has gone well, so that the closures' gradients are their losses'.
        scale: |g|_inf where the first step began, in which tolerances are measured.
    """

    def __init__(
        self,
        loss: ClosureLoss,
        method: Method,
        settings: Mapping[str, Any],
        search: str | Search | None,
    ) -> None:
        self.loss, self.scale, self.fits = loss, 0.0, False
        start = loss.parameters.read()
        objective = Objective(
            loss,
            start,
            gives_gradient=True,
            hessian=loss.hessian,
            gauss_newton=loss.gauss_newton,
            fisher=loss.fisher,
            kronecker=loss.kronecker,
            eigenvalue_corrected=loss.eigenvalue_corrected,
        )

        own = {"loss": loss.value} if method.looks_back else {}
        direction = method.direction(settings, **own)
        search = chosen(search, direction)
        self.lengthened = None if isinstance(search, TrustRegion) else Lengthened(search)
        self.loop = Loop(objective, start, direction, self.lengthened or search, 0)

    def stride(self, settings: Mapping[str, Any], certify: bool | None) -> Report:
        """The steps of one call, from where the parameters are."""
        loop, lr = self.loop, float(settings["lr"])
        loop.max_evaluations = loop.counts.losses + settings["max_eval"]
        start = self.loss.parameters.read()
        loop.evaluate_again(start)
        before = loop.place.value
        if not loop.place.finite:
            return Report(ILL, before, before)
        if not any(self.loss.graded):
            return Report(FLAT, before, before)
        self.scale = self.scale or loop.place.size
        if lr == 0:
            return Report(STILL, before, before)
        if self.lengthened is not None:
            self.lengthened.lr = lr
        eps = torch.finfo(start.dtype).eps
        tolerance = Tolerance(settings["tolerance_grad"], self.scale, before, eps)
        limits = Limits(
            settings["max_iter"], tolerance, settings["tolerance_change"], certify, self.fits
        )
        ending = stride(loop, start, limits)
        self.fits = True
        return Report(ending, before, loop.place.value)

    def state_dict(self) -> dict[str, Any]:
        """A copy of what was learned and counted, and where."""
        sizes = self.loss.parameters.sizes
        return {"loop": self.loop.state_dict(), "scale": self.scale, "sizes": sizes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made."""
        self.loop.load_state_dict(placed(state["loop"], self.loss.parameters.layout))
        self.scale = state["scale"]

    def settle(self, start: Tensor) -> None:
        """Leave the parameters and their gradients where the loop stands."""
        place, parameters = self.loop.place, self.loss.parameters
        if not place.finite:
            parameters.settle(start)
            return
        parameters.settle(place.x)
        graded_at = self.loss.graded_at
        if graded_at is None or not torch.equal(graded_at, place.x):
            parameters.set_gradients(place.gradient, self.loss.graded)


def chosen(search: str | Search | None, direction: Direction) -> Search:
    """The search by what the user gave for it."""
    if search is None:
        return Fixed()
    if not isinstance(search, str):
        return search
    return (
        suited_search(direction)
        if search == "auto"
        else search_named(search.replace("_", "-"), direction)
    )
