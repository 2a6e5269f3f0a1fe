"""One loop for every method: propose, search, move, learn.

A step that leads nowhere need not be the end: what the direction learned can be forgotten, and the
negative gradient tried. Where that leads nowhere either, the loop stands still.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.contract import (
    Direction,
    Found,
    LineSearch,
    Modelled,
    Proposal,
    Remembering,
    SearchStatus,
)
from thalweg.minimize.counts import losses_of, rejected_by
from thalweg.minimize.directions.first_length import first_step
from thalweg.minimize.inner_product import dot
from thalweg.minimize.line import Ray
from thalweg.minimize.objective import Objective
from thalweg.minimize.place import Standing
from thalweg.minimize.probe import lower_along
from thalweg.minimize.searches import StrongWolfe, TrustRegion
from thalweg.minimize.searches.trials import ROUNDING_UNITS
from thalweg.minimize.status import Kind
from thalweg.minimize.tolerance import expected_decrease
from thalweg.minimize.trust_steps import TrustSteps

# Steps in a row that may leave the loss as it is, to rounding, for a smaller gradient.
PATIENCE = 8


@final
@dataclass(frozen=True)
class Move:
    """What became of a step.

    Attributes:
        alpha: its length in the direction's own measure; 0 if the loop stands still.
        kind: of the direction that was taken.
        status: how the search ended.
    """

    alpha: float
    kind: Kind
    status: SearchStatus


@final
class Loop:
    """Stands at a place and moves from it.

    Args:
        objective: the loss.
        x0: the start, shape (n,).
        direction, search: the method. A trust region steps by the direction's model.
        max_evaluations: of the loss, in all.

    Attributes:
        place: where it stands. It stays finite if the start is, which is evaluated when `place` is
            first asked for.
        proposal: of the direction, at this place.
    """

    def __init__(
        self,
        objective: Objective,
        x0: Tensor,
        direction: Direction,
        search: LineSearch | TrustRegion,
        max_evaluations: int,
    ) -> None:
        self.objective, self.direction, self.search = objective, direction, search
        self._trust = trust_steps(objective, direction, search)
        self.max_evaluations = max_evaluations
        self.counts = objective.counts
        self._start = x0
        self._place: Standing | None = None
        self._fresh = direction.state_dict()
        self._proposal: Proposal | None = None
        self._fruitless = 0

    @property
    def place(self) -> Standing:
        """Where it stands."""
        if self._place is None:
            self._place = Standing(
                self.objective, self._start, *self.objective.evaluate(self._start)
            )
        return self._place

    @property
    def left(self) -> int:
        """Evaluations that the budget still allows."""
        return self.max_evaluations - self.counts.losses

    @property
    def proposal(self) -> Proposal:
        """Where the direction wants to go from here; asked once at each place."""
        if self._proposal is None:
            asked = losses_of(self.direction)
            self._proposal = self.direction.propose(self.place)
            self.counts.losses += losses_of(self.direction) - asked
        return self._proposal

    @property
    def promised(self) -> float:
        """The decrease of the loss that the method expects of going on, at least 0."""
        if self._trust is not None:
            return self._trust.promised(self.place)
        return expected_decrease(self.proposal) if self.place.size else 0.0

    def step(self) -> Move:
        """Go one step, or find that the direction leads nowhere; then `alpha` is 0."""
        self.counts.steps += 1
        if self._trust is not None:
            there, status = self._trust.taken(self.place, self.left)
            return self._settled(there, Move(float(there is not None), "direction", status))
        if hindered := hindrance(self.proposal):
            return Move(0.0, "direction", hindered)
        return self._along(self.proposal, "escape" if self.proposal.escapes else "direction")

    def advance(self) -> Move:
        """Go one step along the direction, or along the negative gradient if that leads nowhere."""
        move = self.step()
        return move if move.alpha or self.left <= 0 or not self.place.size else self.fall_back()

    def fall_back(self) -> Move:
        """Forget what was learned, and go along the negative gradient, which is not zero."""
        self.counts.fallbacks += 1
        self.forget()
        proposal = downhill(self.place)
        if hindered := hindrance(proposal):
            return Move(0.0, "fallback", hindered)
        return self._along(proposal, "fallback")

    def go(self, place: Standing) -> None:
        """Stand at `place`, which lies on no direction's line; what was learned is forgotten."""
        self._leave_for(place)
        self.forget()

    def forget(self) -> None:
        """Let the direction begin anew."""
        self.direction.load_state_dict(self._fresh)
        self._proposal = None
        if self._trust is not None:
            self._trust.forget()

    def evaluate_again(self, x: Tensor | None = None) -> None:
        """Ask the objective anew: its loss is another, of the next minibatch.

        What was learned is kept.

        Args:
            x: where to stand, shape (n,), if the parameters were moved by somebody else; None for
                where the loop stands.
        """
        at = self.place.x if x is None else x
        self._stand(Standing(self.objective, at, *self.objective.evaluate(at)))
        self._fruitless = 0

    def close(self) -> None:
        """Free what matrices keep of the loss; whoever asks for one here again has it made anew."""
        if self._place is not None:
            at = self._place
            self._stand(Standing(self.objective, at.x, at.value, at.gradient))

    def state_dict(self) -> dict[str, Any]:
        """A copy of where the loop stands and of what was learned and counted.

        A loop made with the same arguments goes on from it to the same digits.
        """
        place = self.place
        return {
            "x": place.x.clone(),
            "value": place.value,
            "gradient": place.gradient.clone(),
            "direction": self.direction.state_dict(),
            "search": state_of(self.search),
            "model": {} if self._trust is None else self._trust.state_dict(),
            "proposal": None if self._proposal is None else clones(vars(self._proposal)),
            "fruitless": self._fruitless,
            "counts": asdict(self.counts),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made, without an evaluation.

        Raises:
            ValueError: it is the state of a loop over another number of parameters.
        """
        x, gradient = (state[name].to(self._start).clone() for name in ("x", "gradient"))
        if x.shape != self._start.shape:
            raise ValueError(
                f"Loop.load_state_dict: the state is of {len(x)} parameters, this loop goes over "
                f"{len(self._start)}. Make it with the x0 of the run that was saved."
            )
        self._stand(Standing(self.objective, x, state["value"], gradient))
        self.direction.load_state_dict(state["direction"])
        load_state(self.search, state["search"])
        if self._trust is not None:
            self._trust.load_state_dict(state["model"])
        saved = state["proposal"]
        self._proposal = None if saved is None else Proposal(**clones(saved))
        self._fruitless = state["fruitless"]
        for name, count in state["counts"].items():
            setattr(self.counts, name, count)

    def _along(self, proposal: Proposal, kind: Kind) -> Move:
        """Search along a proposal, and stand where that ends if it is better than here."""
        ray = Ray(self.objective, self.place, proposal.vector, self.left)
        found = self._found(ray, proposal)
        alpha, place = taken(ray, found)
        status = "not finite" if ray.bottomless and alpha == 0 else found.status
        before = self.place
        move = self._settled(place, Move(alpha, kind, status))
        if move.alpha and kind == "direction":
            self._learn(before, self.place)
        return move

    def _settled(self, place: Standing | None, move: Move) -> Move:
        """Stand at the end of a move, unless that leads nowhere."""
        if place is None or not move.alpha or self._is_fruitless(place, move.kind):
            self.counts.search_failures += 1
            return Move(0.0, move.kind, move.status)
        self._leave_for(place)
        return move

    def _found(self, ray: Ray, proposal: Proposal) -> Found:
        if proposal.escapes:
            return lower_along(ray, proposal)
        # A trust region goes along no line but that of the gradient, which it falls back on.
        search = StrongWolfe() if isinstance(self.search, TrustRegion) else self.search
        return search.along(ray, (self.place.value, proposal.slope), proposal.length)

    def _is_fruitless(self, place: Standing, kind: Kind) -> bool:
        """Whether a step, or the last ones together, only moved about within the loss's rounding.

        Falling back forgets what was learned, so it has to gain more than that at once.
        """
        if kind == "fallback" and not is_worth(place, self.place):
            return True
        self._fruitless = 0 if place.value < self.place.value else self._fruitless + 1
        return self._fruitless > PATIENCE

    def _learn(self, before: Standing, after: Standing) -> None:
        rejected = rejected_by(self.direction)
        self.direction.moved(before, after)
        self.counts.rejected_pairs += rejected_by(self.direction) - rejected

    def _leave_for(self, place: Standing) -> None:
        self.counts.effective_steps += place.value < self.place.value
        self._stand(place)

    def _stand(self, place: Standing) -> None:
        if self._place is not None:
            self._place.close()
        self._place, self._proposal = place, None
        if self._trust is not None:
            self._trust.arrived()


def clones(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries, the tensors among them copied."""
    return {name: x.clone() if isinstance(x, Tensor) else x for name, x in entries.items()}


def trust_steps(
    objective: Objective, direction: Direction, search: LineSearch | TrustRegion
) -> TrustSteps | None:
    """What steps within the trust region, if the search is one.

    Raises:
        TypeError: the direction has no model for a trust region.
    """
    if not isinstance(search, TrustRegion):
        return None
    if not isinstance(direction, Modelled):
        raise TypeError(
            f"Loop(direction={direction.name!r}, search=TrustRegion()): the direction has no "
            "model to minimize; give a line search."
        )
    return TrustSteps(objective, direction.model(), search)


def state_of(search: LineSearch | TrustRegion) -> dict[str, Any]:
    """What a search remembers from one step to the next; most remember nothing."""
    return search.state_dict() if isinstance(search, Remembering) else {}


def load_state(search: LineSearch | TrustRegion, state: Mapping[str, Any]) -> None:
    """Let a search that remembers go on from `state`."""
    if isinstance(search, Remembering):
        search.load_state_dict(state)


def hindrance(proposal: Proposal) -> SearchStatus | None:
    """Why a proposal cannot be searched along; None if it can.

    The slope -g'g is infinite where the gradient's square overflows, zero where it underflows.
    """
    if not math.isfinite(proposal.slope) or not math.isfinite(proposal.length):
        return "not finite"
    falls = proposal.slope < 0 or proposal.escapes
    return None if falls and proposal.length > 0 else "not descending"


def downhill(place: Standing) -> Proposal:
    """Along the negative gradient, with the first step of a run."""
    vector = -place.gradient
    return Proposal(vector, -dot(vector, vector), first_step(place.x, vector))


def is_worth(place: Standing, than: Standing) -> bool:
    """Whether `place` is lower by more than the loss's rounding, or has half of the gradient."""
    noise = ROUNDING_UNITS * torch.finfo(than.x.dtype).eps * abs(than.value)
    return than.value - place.value > noise or place.size <= than.size / 2


def taken(ray: Ray, found: Found) -> tuple[float, Standing]:
    """Where a search leads: to the point that satisfied it, else to the best that it saw."""
    if found.status == "satisfied" and found.alpha > 0:
        place = ray.at(found.alpha)
        if place.finite:
            return found.alpha, place
    return ray.best
