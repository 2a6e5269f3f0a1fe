"""The functional door: minimize a function of a tensor, and hear honestly how it ended."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from thalweg.minimize.certificate import Certificate, certified, reach
from thalweg.minimize.contract import Direction, LineSearch
from thalweg.minimize.loop import Loop, Move
from thalweg.minimize.names import check_model, direction_named, search_named, suited_search
from thalweg.minimize.objective import Loss, Objective, check_start
from thalweg.minimize.place import Standing
from thalweg.minimize.searches import TrustRegion
from thalweg.minimize.status import Kind, Record, Result, Status
from thalweg.minimize.tolerance import Tolerance

# Up to so many parameters the Hessian's sign is asked without being told to.
CERTIFY_UP_TO = 1000

Callback = Callable[[Tensor, Record], object]


def minimize(
    f: Loss | Objective,
    x0: Tensor,
    direction: str | Direction = "l-bfgs",
    search: str | LineSearch | TrustRegion | None = None,
    *,
    tol: float = 1e-6,
    max_evaluations: int = 10_000,
    certify: bool | None = None,
    escape: bool = True,
    callback: Callback | None = None,
) -> Result:
    """A minimum of `f`, as far down as the tolerance asks.

        >>> result = minimize(lambda x: (x - 1).square().sum(), torch.zeros(3))
        >>> result.status, result.counts.losses
        ('converged', 3)

    Args:
        f: from a tensor like x0 to a scalar tensor that autograd can differentiate; or an
            `Objective`, which may know its gradient and its matrices itself.
        x0: where to start: real floating point, of any shape; it is not changed.
        direction: where to step; a name ("l-bfgs", "bfgs", "polak-ribiere+", ...) or an object.
        search: how far; a name or an object. None for the strong Wolfe conditions, as tight as the
            direction wants them. "trust-region" or a `TrustRegion` steps to the minimum of the
            direction's model within a radius instead.
        tol: relative to the gradient at x0; see `minimize.tolerance`.
        max_evaluations: of the loss with its gradient, in all.
        certify: whether the Hessian's sign is asked at a critical point, so that no saddle passes
            for a minimum; None asks where the Hessian can be had and x0 has at most 1000 entries.
            It takes up to some hundreds of Hessian products.
        escape: whether to go on from a saddle, down the direction found; if not, to end there.
        callback: called with the point and a `Record` of each step; what it raises goes through.

    Returns:
        The point, with the loss and the gradient there, how the run ended, and what it took.

    Raises:
        TypeError, ValueError: an argument is not of the kinds above, or `f` is no loss.
    """
    check_limits(tol, max_evaluations)
    check_start(x0)
    objective = f if isinstance(f, Objective) else Objective(f, x0)
    if objective.shape != x0.shape:
        raise ValueError(
            f"minimize(Objective, x0): x0 has shape {tuple(x0.shape)}, the objective is one of "
            f"points of shape {tuple(objective.shape)}."
        )
    if isinstance(direction, str):
        direction = direction_named(direction)
    if search is None:
        search = suited_search(direction)
    elif isinstance(search, str):
        search = search_named(search, direction)
    check_needs(objective, direction, search)
    if certify is None:
        certify = "hessian" in objective.offers and objective.size <= CERTIFY_UP_TO
    start = x0.detach().reshape(-1).clone()
    loop = Loop(objective, start, direction, search, max_evaluations)
    return Run(loop, start, tol, certify, escape, callback).result()


@final
class Run:
    """A loop until it ends, with the judgement of where it stands.

    Args:
        loop: at its start.
        start: x0, shape (n,).
        tol, certify, escape, callback: as in `minimize`.
    """

    def __init__(
        self,
        loop: Loop,
        start: Tensor,
        tol: float,
        certify: bool,
        escape: bool,
        callback: Callback | None,
    ) -> None:
        self._loop, self._start = loop, start
        self._certify, self._escape, self._callback = certify, escape, callback
        place, eps = loop.place, torch.finfo(start.dtype).eps
        self._tolerance = Tolerance(tol, place.size, place.value, eps)
        self._history: list[Record] = []

    def result(self) -> Result:
        """Go on until there is something to say."""
        if not self._loop.place.finite:
            return self._ended("not finite", "the loss or its gradient at x0 is not a number")
        self._note(0.0, "start")
        end = None
        while end is None:
            if self._is_critical():
                end = self._judged()
            elif self._loop.left <= 0:
                spent = f"{self._loop.counts.losses} evaluations are spent; {self._slope()}"
                end = self._ended("out of budget", spent)
            else:
                end = self._stepped()
        return end

    def _judged(self) -> Result | None:
        """The result at a critical point; None if it is a saddle that was left."""
        certificate = self._certificate()
        if certificate.lower is None:
            return self._ended("converged", self._flatness(certificate), certificate)
        if not self._escape:
            return self._ended("saddle", self._flatness(certificate), certificate)
        self._go_on_from(certificate.lower)
        return None

    def _go_on_from(self, lower: Standing) -> None:
        """Leave a saddle. The gradient's scale is that of the way down from it, if larger."""
        self._loop.go(lower)
        scale = max(self._tolerance.gradient, lower.size)
        self._tolerance = replace(self._tolerance, gradient=scale)
        self._note(0.0, "escape")

    def _stepped(self) -> Result | None:
        """One step; the result if none leads on."""
        loop = self._loop
        move = loop.step()
        if not move.alpha and loop.left > 0 and self._tolerance.flat(loop.place.size):
            return self._judged()
        if not move.alpha and loop.left > 0:
            move = loop.fall_back()
        if move.alpha:
            self._note(move.alpha, move.kind)
            return None
        return self._halted(move) if loop.left > 0 else None

    def _halted(self, move: Move) -> Result:
        if move.status == "not finite":
            return self._ended("not finite", "no step from here has a loss that is a finite number")
        return self._ended(
            "stalled", f"no step lowers the loss by more than its rounding; {self._slope()}"
        )

    def _is_critical(self) -> bool:
        place, tolerance = self._loop.place, self._tolerance
        if not tolerance.flat(place.size):
            return False
        return self._loop.promised <= tolerance.negligible(place.value)

    def _certificate(self) -> Certificate:
        if not self._certify:
            return Certificate("its curvature was not asked")
        place = self._loop.place
        size, negligible = reach(place.x, self._start), self._tolerance.negligible(place.value)
        return certified(self._loop, size, negligible)

    def _note(self, alpha: float, kind: Kind) -> None:
        place = self._loop.place
        losses = self._loop.counts.losses
        record = Record(len(self._history), place.value, place.size, alpha, losses, kind)
        self._history.append(record)
        if self._callback is not None:
            self._callback(self._shaped(place.x.clone()), record)

    def _slope(self) -> str:
        return f"the gradient is {self._relative():.2g} of that at the start"

    def _relative(self) -> float:
        size, scale = self._loop.place.size, self._tolerance.gradient
        return size / scale if scale else size

    def _flatness(self, certificate: Certificate) -> str:
        return f"{self._slope()}; {certificate.says}"

    def _shaped(self, vector: Tensor) -> Tensor:
        return vector.reshape(self._loop.objective.shape)

    def _ended(self, status: Status, why: str, certificate: Certificate | None = None) -> Result:
        place = self._loop.place
        place.close()
        escape = certificate.escape if certificate else None
        return Result(
            x=self._shaped(place.x),
            value=place.value,
            gradient=self._shaped(place.gradient),
            status=status,
            why=why,
            counts=self._loop.counts,
            history=tuple(self._history),
            curvature=certificate.curvature if certificate else None,
            escape=None if escape is None else self._shaped(escape),
        )


def check_needs(
    objective: Objective, direction: Direction, search: LineSearch | TrustRegion
) -> None:
    """Raise ValueError unless the objective knows what the method asks of it."""
    by_model = isinstance(search, TrustRegion)
    needs = check_model(direction).model().needs if by_model else direction.needs
    if missing := sorted(needs - objective.offers):
        raise ValueError(
            f"minimize(direction={direction.name!r}) needs the matrix {missing[0]!r}, which the "
            "objective has not; give it to Objective, or take a direction that needs none."
        )


def check_limits(tol: float, max_evaluations: int) -> None:
    """Raise ValueError unless the tolerance and the budget make sense."""
    if not 0 <= tol < 1 or math.isnan(tol):
        raise ValueError(f"minimize(tol={tol}): give a share of the first gradient, 0 <= tol < 1.")
    if max_evaluations < 1:
        raise ValueError(
            f"minimize(max_evaluations={max_evaluations}): the start alone takes one evaluation."
        )
