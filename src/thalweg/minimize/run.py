"""A run of a method until there is something to say: converged, at a saddle, stalled, spent."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.certificate import CERTIFY_UP_TO, Certificate, certified, reach
from thalweg.minimize.contract import Direction, LineSearch
from thalweg.minimize.loop import Loop, Move
from thalweg.minimize.names import check_model, direction_named, search_named, suited_search
from thalweg.minimize.objective import Loss, Objective, check_start
from thalweg.minimize.place import Standing
from thalweg.minimize.searches import ExactQuadratic, TrustRegion
from thalweg.minimize.status import (
    NO_LOWER,
    NO_NUMBER,
    Kind,
    Record,
    Result,
    Status,
    share_of_gradient,
)
from thalweg.minimize.tolerance import Tolerance

# Evaluations of an exact step on a quadratic, with one to spare.
EXACT_STEP = 3

Callback = Callable[[Tensor, Record], object]


@final
class Run:
    """A minimization that can be stopped, saved and gone on with.

        >>> run = Run(lambda x: (x - 1).square().sum(), torch.zeros(3))
        >>> run.step()
        >>> saved = run.state_dict()
        >>> again = Run(lambda x: (x - 1).square().sum(), torch.zeros(3)).load_state_dict(saved)
        >>> again.result().status
        'converged'

    The arguments are those of `minimize`, which says what they raise.

    Attributes:
        ended: the result, once there is one.
    """

    def __init__(
        self,
        f: Loss | Objective,
        x0: Tensor | None = None,
        direction: str | Direction = "l-bfgs",
        search: str | LineSearch | TrustRegion | None = None,
        *,
        tol: float = 1e-6,
        max_evaluations: int = 10_000,
        certify: bool | None = None,
        escape: bool = True,
        callback: Callback | None = None,
    ) -> None:
        check_limits(tol, max_evaluations)
        x0 = started(f, x0)
        objective = posed(f, x0)
        method = chosen(objective, direction, search)
        self._start = x0.detach().reshape(-1).clone()
        self._loop = Loop(objective, self._start, *method, max_evaluations)
        if certify is None:
            certify = "hessian" in objective.offers and objective.size <= CERTIFY_UP_TO
        self._certify, self._escape, self._callback = certify, escape, callback
        # The gradient and the loss at the start are known once it is evaluated.
        self._tolerance = Tolerance(tol, math.nan, math.nan, torch.finfo(x0.dtype).eps)
        self._history: list[Record] = []
        self._best: Standing | None = None
        self.ended: Result | None = None

    def result(self) -> Result:
        """Go on to the end."""
        while (end := self.step()) is None:
            pass
        return end

    def step(self) -> Result | None:
        """Evaluate the start, or go a step on from it; the result if there is no way on."""
        if self.ended is None:
            self.ended = self._further() if self._history else self._begun()
        return self.ended

    def state_dict(self) -> dict[str, Any]:
        """A copy of where the run is; a run with the same arguments goes on to the same digits.

        Only `max_evaluations` and `callback` may be others. Tensors, numbers, strings, and lists
        and dictionaries of them, as `torch.load` takes them with `weights_only=True`.
        """
        return {
            "loop": self._loop.state_dict(),
            "gradient": self._tolerance.gradient,
            "value": self._tolerance.value,
            "history": [asdict(record) for record in self._history],
            "best": self._best_elsewhere(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> "Run":
        """Go on from a copy that `state_dict` made; the run itself.

        Raises:
            ValueError: it is the state of a run over another number of parameters.
        """
        self._loop.load_state_dict(state["loop"])
        self._tolerance = replace(self._tolerance, gradient=state["gradient"], value=state["value"])
        self._history = [Record(**record) for record in state["history"]]
        self._best = self._standing(state["best"]) if state["best"] else self._loop.place
        self.ended = None
        return self

    def _begun(self) -> Result | None:
        """The start; the result if the loss is no number there."""
        place = self._loop.place
        self._tolerance = replace(self._tolerance, gradient=place.size, value=place.value)
        if not place.finite:
            return self._ended("not finite", "the loss or its gradient at x0 is not a number")
        self._note(0.0, "start")
        return None

    def _further(self) -> Result | None:
        """A step; the result at a critical point, at the end of the budget, or if none leads on."""
        if self._is_critical():
            return self._judged()
        if self._loop.left > 0:
            return self._stepped()
        spent = f"{self._loop.counts.losses} evaluations are spent; {self._slope(self._best)}"
        return self._ended("out of budget", spent)

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
        """Leave a saddle."""
        self._loop.go(lower)
        self._rescale()
        self._note(0.0, "escape")

    def _rescale(self) -> None:
        """After a saddle the gradient's scale is that of the way down from it, if larger."""
        scale = max(self._tolerance.gradient, self._loop.place.size)
        self._tolerance = replace(self._tolerance, gradient=scale)

    def _stepped(self) -> Result | None:
        """One step; the result if none leads on."""
        loop, flat = self._loop, self._tolerance.flat(self._loop.place.size)
        move = loop.step()
        if not move.alpha and loop.left > 0 and flat:
            return self._judged()
        if not move.alpha and loop.left > 0:
            move = loop.fall_back()
        if not move.alpha:
            return self._halted(move) if loop.left > 0 else None
        if flat:  # the method has left a saddle by itself
            self._rescale()
        self._note(move.alpha, move.kind)
        return None

    def _halted(self, move: Move) -> Result:
        if move.status == "not finite":
            return self._ended("not finite", NO_NUMBER)
        return self._ended("stalled", f"{NO_LOWER}; {self._slope(self._best)}")

    def _is_critical(self) -> bool:
        place, tolerance = self._loop.place, self._tolerance
        if not tolerance.flat(place.size):
            return False
        return self._loop.promised <= tolerance.negligible(place.value)

    def _certificate(self) -> Certificate:
        if not self._certify:
            return Certificate("its curvature was not asked")
        place = self._loop.place
        size, telling = reach(place.x, self._start), self._tolerance.telling(place.value)
        return certified(self._loop, size, telling)

    def _note(self, alpha: float, kind: Kind) -> None:
        place = self._loop.place
        if self._best is None or place.value <= self._best.value:
            self._best = place
        losses = self._loop.counts.losses
        record = Record(len(self._history), place.value, place.size, alpha, losses, kind)
        self._history.append(record)
        if self._callback is not None:
            self._callback(self._shaped(place.x.clone()), record)

    def _slope(self, place: Standing | None) -> str:
        place = place or self._loop.place
        return share_of_gradient(place.size, self._tolerance.gradient)

    def _flatness(self, certificate: Certificate) -> str:
        return f"{self._slope(self._loop.place)}; {certificate.says}"

    def _best_elsewhere(self) -> dict[str, Any] | None:
        """A copy of the best place, if the loop has left it for a worse one."""
        best = self._best
        if best is None or best is self._loop.place:
            return None
        return {"x": best.x.clone(), "value": best.value, "gradient": best.gradient.clone()}

    def _standing(self, saved: Mapping[str, Any]) -> Standing:
        x, gradient = (saved[name].to(self._start).clone() for name in ("x", "gradient"))
        return Standing(self._loop.objective, x, saved["value"], gradient)

    def _shaped(self, vector: Tensor) -> Tensor:
        return vector.reshape(self._loop.objective.shape)

    def _ended(self, status: Status, why: str, certificate: Certificate | None = None) -> Result:
        self._loop.place.close()
        critical = status in ("converged", "saddle")
        place = self._loop.place if critical or self._best is None else self._best
        escape = certificate.escape if certificate else None
        advice = "" if critical else better_search(self._loop)
        return Result(
            x=self._shaped(place.x),
            value=place.value,
            gradient=self._shaped(place.gradient),
            status=status,
            why=why + advice,
            counts=replace(self._loop.counts),
            history=tuple(self._history),
            curvature=certificate.curvature if certificate else None,
            escape=None if escape is None else self._shaped(escape),
        )


def better_search(loop: Loop) -> str:
    """What to take instead of a search that did not suit the loss, to end a sentence with.

    Exact steps of a quadratic take two evaluations; where they took more, the loss was none.
    """
    counts = loop.counts
    suited = counts.losses - counts.probes <= EXACT_STEP * (counts.steps + 1)
    if suited or not isinstance(loop.search, ExactQuadratic):
        return ""
    return (
        "; the loss is not quadratic along its lines, for which exact-quadratic is made: take "
        "search='strong-wolfe' or 'backtracking'"
    )


def started(f: Loss | Objective, x0: Tensor | None) -> Tensor:
    """Where to start; raises TypeError where neither x0 nor the objective says."""
    if x0 is not None:
        return x0
    if isinstance(f, Objective):
        return f.start
    raise TypeError("minimize(f): where to start is not known; give x0, a tensor that f takes.")


def posed(f: Loss | Objective, x0: Tensor) -> Objective:
    """The objective of points like x0.

    Raises:
        TypeError, ValueError: `f` is none, or x0 no point of it.
    """
    check_start(x0)
    objective = f.counted_anew() if isinstance(f, Objective) else Objective(f, x0)
    if objective.shape != x0.shape:
        raise ValueError(
            f"minimize(Objective, x0): x0 has shape {tuple(x0.shape)}, the objective is one of "
            f"points of shape {tuple(objective.shape)}."
        )
    return objective


def chosen(
    objective: Objective,
    direction: str | Direction,
    search: str | LineSearch | TrustRegion | None,
) -> tuple[Direction, LineSearch | TrustRegion]:
    """The direction and the search, of names and objects.

    Raises:
        TypeError: one of them is neither.
        ValueError: a name that none has, or the objective lacks what they ask for.
    """
    if isinstance(direction, str):
        direction = direction_named(direction, objective.size)
    check_kind("direction", direction, "propose")
    if search is None:
        search = suited_search(direction)
    elif isinstance(search, str):
        search = search_named(search, direction)
    if not isinstance(search, TrustRegion):
        check_kind("search", search, "along")
    check_needs(objective, direction, search)
    return direction, search


def check_kind(what: str, given: object, method: str) -> None:
    """Raise TypeError unless `given` is an object with that method."""
    if isinstance(given, type):
        called = given.__name__
        raise TypeError(f"minimize({what}={called}): a class; make one of it: {called}().")
    if not callable(getattr(given, method, None)):
        raise TypeError(
            f"minimize({what}={given!r}): give a name, or an object of thalweg.minimize.{what}"
            f"{'es' if what == 'search' else 's'}."
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
            "objective has not; make it with Objective.of_model(model, loss, data), give the "
            "matrix to Objective, or take a direction that needs none."
        )


def check_limits(tol: float, max_evaluations: int) -> None:
    """Raise ValueError unless the tolerance and the budget make sense."""
    if not 0 <= tol < 1 or math.isnan(tol):
        raise ValueError(f"minimize(tol={tol}): give a share of the first gradient, 0 <= tol < 1.")
    if max_evaluations < 1:
        raise ValueError(
            f"minimize(max_evaluations={max_evaluations}): the start alone takes one evaluation."
        )
