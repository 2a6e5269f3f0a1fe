"""What the loop, the directions and the searches know of one another.

The loop stands at a `Place`. A `Direction` looks at it and makes a `Proposal`; a `LineSearch` asks
for the loss along it, through a `Line`, and says in `Found` where to go and why there. In a trust
region there is no line: the direction gives the `Model` m(d) = g'd + d'Bd/2, and a `Subproblem`
minimizes it within a radius, which gives a `TrialStep`.

All vectors are flat, of shape (n,), in the dtype and on the device of the parameters; all scalars
are Python floats. The loss may be infinite or no number anywhere but where the loop stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, final, runtime_checkable

from torch import Tensor

from thalweg.operators import EigenvalueCorrected, Kronecker, Operator
from thalweg.operators.evaluation import Settings

Need = Literal["hessian", "gauss-newton", "fisher", "kronecker", "eigenvalue-corrected"]
SearchStatus = Literal["satisfied", "rounding", "not finite", "budget", "not descending"]


class Place(Protocol):
    """A point that the loop came to, with what is known of the loss there.

    An operator is made when it is first asked for, its products are counted, and it is refused once
    the loop has moved on.
    """

    @property
    def x(self) -> Tensor:
        """The point, shape (n,); nobody writes to it."""
        ...

    @property
    def value(self) -> float:
        """The loss, finite."""
        ...

    @property
    def gradient(self) -> Tensor:
        """Its gradient, finite, shape (n,); nobody writes to it."""
        ...

    def hessian(self) -> Operator:
        """The Hessian of the loss here."""
        ...

    def gauss_newton(self) -> Operator:
        """The Gauss-Newton matrix here, where the loss is known as one of outputs."""
        ...

    def fisher(self) -> Operator:
        """The Fisher information here, where the loss is known as a likelihood."""
        ...

    def kronecker(self, settings: Settings) -> Kronecker:
        """Kronecker factors of the Gauss-Newton matrix here, where the model's layers are known."""
        ...

    def eigenvalue_corrected(
        self, settings: Settings, basis: Kronecker | None = None
    ) -> EigenvalueCorrected:
        """The same with corrected eigenvalues, in the basis of other factors or in their own."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Proposal:
    """Where a direction wants to go from a place.

    Attributes:
        vector: d, shape (n,).
        slope: g'd, the loss's rate of change along d; below zero unless `escapes`.
        length: the first step alpha to try, of the step alpha d.
        curvature: d'Bd of the direction's own model B; None if it has none.
        escapes: whether d is one of negative curvature: the loss falls along it by its curvature,
            so either sign serves and the slope may be zero.
    """

    vector: Tensor
    slope: float
    length: float = 1.0
    curvature: float | None = None
    escapes: bool = False


class Direction(Protocol):
    """Decides where to go; keeps what it learned on the way.

    Attributes:
        name: as users write it.
        needs: the matrices that it asks places for.

    One that is also `Evaluating` or `Rejecting` has its losses and its pairs counted.
    """

    @property
    def name(self) -> str:
        """As users write it."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """The matrices that it asks places for."""
        ...

    def propose(self, at: Place) -> Proposal:
        """Where to go from `at`."""
        ...

    def moved(self, before: Place, after: Place) -> None:
        """Learn from the step that was taken."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """A copy of what was learned, from which `load_state_dict` goes on exactly."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made."""
        ...


@runtime_checkable
class Evaluating(Protocol):
    """A direction that asks for losses itself while it proposes, beside those of the search."""

    @property
    def evaluations(self) -> int:
        """Losses so far; they count as the run's."""
        ...


@runtime_checkable
class Rejecting(Protocol):
    """A direction or a model that learns from pairs of steps and gradients, not from all."""

    @property
    def rejected(self) -> int:
        """Pairs so far from which it did not learn."""
        ...


class Line(Protocol):
    """The loss along a direction: phi(alpha) = f(x + alpha d)."""

    @property
    def eps(self) -> float:
        """Unit of rounding of phi's values, of the precision that the loss is summed up in."""
        ...

    def __call__(self, alpha: float) -> tuple[float, float]:
        """phi(alpha) and phi'(alpha); either may be infinite or no number. One evaluation."""
        ...


@final
@dataclass(frozen=True)
class Found:
    """Where a line search ended.

    Attributes:
        alpha: the step; 0 where no step was found that may be taken.
        value: phi(alpha).
        slope: phi'(alpha).
        evaluations: of the line that it took.
        status: "satisfied": the search's conditions hold at alpha. "rounding": the loss's rounding
            allows no more; alpha is the best seen. "not finite": no step with a finite loss.
            "budget": out of evaluations; alpha is the best seen. "not descending": the slope at
            zero is not below zero.
    """

    alpha: float
    value: float
    slope: float
    evaluations: int
    status: SearchStatus


class LineSearch(Protocol):
    """Decides how far to go along a direction."""

    def along(self, line: Line, at_zero: tuple[float, float], first: float) -> Found:
        """The step to take.

        Args:
            line: phi.
            at_zero: phi(0) and phi'(0), which the loop knows already.
            first: the step to try first, above zero.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """A search that remembers something from one step to the next."""

    def state_dict(self) -> dict[str, Any]:
        """A copy of it, from which `load_state_dict` goes on exactly."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made."""
        ...


@final
@dataclass(frozen=True, eq=False)
class TrialStep:
    """A step within a trust region, from the model m(d) = g'd + d'Bd/2.

    Attributes:
        vector: d, shape (n,).
        decrease: -m(d), what the model promises; at least 0.
        on_boundary: whether |d| is the radius.
        products: with B, that it took.
        negative: a unit direction v with v'Bv < 0, shape (n,), where one was met; else None.
    """

    vector: Tensor
    decrease: float
    on_boundary: bool
    products: int
    negative: Tensor | None = None


class Subproblem(Protocol):
    """Minimizes the model of a trust region within its radius, exactly or as far as it pays."""

    def step(self, model: Operator, gradient: Tensor, radius: float) -> TrialStep:
        """The step to try.

        Args:
            model: B.
            gradient: g, shape (n,).
            radius: above zero, in the parameters' units.
        """
        ...


class Model(Protocol):
    """The B of a trust region's model m(d) = g'd + d'Bd/2, asked for or learned on the way."""

    @property
    def needs(self) -> frozenset[Need]:
        """The matrices that it asks places for."""
        ...

    def at(self, place: Place) -> Operator:
        """B there, from what is known by now."""
        ...

    def tried(self, before: Place, after: Place) -> bool:
        """Learn from a trial step, taken or not, whose end is finite; whether B changed by it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """A copy of what was learned, from which `load_state_dict` goes on exactly."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made."""
        ...


@runtime_checkable
class Modelled(Protocol):
    """A direction that a trust region can take the place of a line search for."""

    def model(self) -> Model:
        """The model that its steps minimize, with nothing learned yet."""
        ...
