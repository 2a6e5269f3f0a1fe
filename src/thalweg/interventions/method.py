"""A method that asks for the loss more than once: every update is a step of it.

What it changes: the ``step`` of each optimizer that the script constructs is answered by one step
of a direction and a search (L-BFGS with the strong Wolfe conditions, Newton-CG, ...). The loss of
the update is played again from the tape of its backward passes as often as the method asks: the
same minibatch, the same dropout masks, and running statistics that are left as they are. A weight
decay that enters the script's gradients is part of that loss; one that does not (AdamW's) is left
out, and so are learning rates, and what the script does to gradients between ``backward`` and
``step``, such as clipping. Gradients and the script's own optimizer are left as they are.

Several optimizers of one loss go down it one after the other: each finds the parameters of the
others where they have been moved.

What cannot be played again, or has been scaled for half precision, is refused.

Memory: a step's activations, and what the direction keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.method_names import canonical, made
from thalweg.interventions.method_steps import StandIn, Walk
from thalweg.interventions.stand_in import Answering
from thalweg.minimize.contract import Direction, Modelled
from thalweg.minimize.names import DIRECTIONS, SEARCHES, search_named
from thalweg.minimize.searches import TrustRegion
from thalweg.minimize.steps import Search
from thalweg.recorder.replaced import watch_scalers
from thalweg.recorder.rounds import Rounds
from thalweg.recorder.session import Session
from thalweg.recorder.tape import TapeRecorder

# What PyTorch, a tape or a direction raise at a loss that does not suit.
TROUBLE = (RuntimeError, ValueError, TypeError, NotImplementedError, FloatingPointError)
INSTEAD = (
    "Otherwise take an optimizer that needs gradients alone, as in --optimizer adam, or write the "
    "closure into the script: optimizer = thalweg.optim.LBFGS(...), optimizer.step(closure)"
)


@dataclass
class Method(Intervention):
    """Make every update by the direction ``name`` and a ``search`` (what suits if not given)."""

    kind: ClassVar[str] = "method"
    name_: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    search: str | None = None
    search_settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name_ = canonical("name", self.name_, DIRECTIONS)
        if self.search is not None:
            self.search = canonical("search", self.search, SEARCHES)
        elif self.search_settings:
            raise InterventionError("method: search_settings without a search: name it too")
        direction = self._direction()
        has_model = isinstance(direction, Modelled)
        if isinstance(self._search(direction), TrustRegion) and not has_model:
            raise InterventionError(
                f"method: {self.name_} has no quadratic model for a trust region to minimize; "
                "choose another search, or a direction such as newton-cg or l-bfgs"
            )

    @classmethod
    def make(cls, data: dict[str, Any]) -> Method:
        """The intervention that the data describes."""
        data = dict(data)
        return super().make({"name_": data.pop("name", ""), **data})

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        more = {"settings": self.settings, "search": self.search}
        more["search_settings"] = self.search_settings
        return {"kind": self.kind, "name": self.name_} | {k: v for k, v in more.items() if v}

    def started(self, session: Session) -> None:
        """Begin to follow the loss, as every other intervention leaves it."""
        self._session = session
        self._answering = Answering(session, self._stand_in)
        self._tape, self._rounds = TapeRecorder(), Rounds()
        session.listeners.append(self._tape)
        self._walks: dict[int, Walk] = {}
        self._scaled = self._refused = False
        self._unwatch = watch_scalers(self._scaled_to)

    def finished(self) -> None:
        """Leave the optimizers to themselves again."""
        self._answering.end()
        self._unwatch()
        self._tape.clear()

    def optimizer_made(self, optimizer: Optimizer) -> None:
        """Answer this optimizer's steps from now on."""
        self._walks[id(optimizer)] = Walk(optimizer, self._direction, self._search)
        self._answering.answer(optimizer)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Take the tape that ends in this loss."""
        tape = self._tape.take(loss)
        for walk in self._walks.values():
            walk.passes.begin(tape)

    def after_backward(self, loss: torch.Tensor) -> None:
        """Remember which gradients came."""
        for walk in self._walks.values():
            walk.passes.end()

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Begin the tape anew when every optimizer has had its turn."""
        waiting = sum(not self._session.step_of(one) for one in self._session.optimizers)
        if optimizer is not None and self._rounds.ended_by(optimizer, waiting):
            self._tape.clear()

    def _scaled_to(self, result: torch.Tensor, loss: torch.Tensor) -> None:
        self._scaled |= result is not loss

    def _stand_in(self, own: Optimizer) -> Optimizer:
        return StandIn(own, lambda: self._step(self._walks[id(own)]))

    def _step(self, walk: Walk) -> None:
        if self._scaled:
            raise self._refusal(
                f"method {self.name_}: the script scales its loss (torch.amp.GradScaler), and the "
                "rounding of float16 leaves nothing for a search to compare. Run it with "
                "GradScaler(enabled=False) and without autocast"
            )
        try:
            walk.step()
        except TROUBLE as error:
            raise self._refusal(
                f"method {self.name_} cannot make this step: {str(error).rstrip('.')}. {INSTEAD}"
            ) from None

    def _refusal(self, said: str) -> InterventionError:
        self._refused = True
        return InterventionError(said)

    def told(self) -> str:
        """What it took, and how the last step ended; nothing where that was an error."""
        if self._refused:
            return ""
        if not self._walks:
            return f"{self.name_}: the script made no optimizer to answer, so nothing was changed"
        return "; ".join(summary(self.name_, walk) for walk in self._walks.values())

    def name(self) -> str:
        """A few words for a table."""
        return self.name_ + (f" with {self.search}" if self.search else "")

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        search = f" with the search {self.search}" if self.search else ""
        return f"Make the steps by the method {self.name_}{search}, which asks for the loss itself."

    def edit(self) -> str:
        """A line of code."""
        return f"# {self.name_}: optimizer.step(closure) with an optimizer of thalweg.minimize"

    def _direction(self) -> Direction:
        return made(self.name_, DIRECTIONS, self.settings)

    def _search(self, direction: Direction) -> Search | None:
        if self.search is None:
            return None
        if not self.search_settings:
            return search_named(self.search, direction)
        return made(self.search, SEARCHES, self.search_settings)


def summary(name: str, walk: Walk) -> str:
    """A method's counts and its last step, in a line."""
    n = walk.counts()
    return (
        f"{name} made {n.steps} steps, {n.effective_steps} of them down: {n.losses} losses with "
        f"gradients, {n.products} products, {n.rejected_pairs} pairs rejected, "
        f"{n.search_failures} searches failed; the last: {walk.last()}"
    )
