"""What a training run was: losses by step, values by epoch, and why it ended. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """What was measured in one pass over the training data.

    Attributes:
        number: from 1.
        steps: updates made up to its end.
        samples: samples whose gradient was taken up to its end; a search takes several a step.
        train_loss: mean surrogate loss of its steps, each where the step began.
        train_metric: the true metric on the training data after it; None if it was not asked for.
        validation_loss: mean surrogate loss on the validation data after it, if there is some.
        validation_metric: the true metric there.
    """

    number: int
    steps: int
    samples: int
    train_loss: float
    train_metric: float | None = None
    validation_loss: float | None = None
    validation_metric: float | None = None


@dataclass
class Fitted:
    """The history of a run; the trained model is the one that was given.

    Attributes:
        losses: the surrogate loss of every step's batch where the step began.
        sizes: the samples of every step's batch.
        epochs: what each pass measured.
        best_epoch: the epoch that was best on the validation data, from 1; None without any.
        why: why the run ended, in a sentence.
        samples: samples whose gradient was taken.
        resumed_at: the step that the run was continued from; 0 if it was begun anew.
    """

    losses: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int | None = None
    why: str = ""
    samples: int = 0
    resumed_at: int = 0

    @property
    def steps(self) -> int:
        """Updates made."""
        return len(self.losses)

    @property
    def best(self) -> Epoch | None:
        """What the best epoch measured."""
        return None if self.best_epoch is None else self.epochs[self.best_epoch - 1]

    def state_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        vars(self).update(state)
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
