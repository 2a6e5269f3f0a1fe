"""What a run asked for and what became of it."""

from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Direction, Evaluating, Model, Rejecting


@final
@dataclass
class Counts:
    """Tallies of a run, counted as it goes.

    Attributes:
        losses: evaluations of the loss; all of them, those of the certificate included, and those
            by which a direction compares its own steps.
        gradients: evaluations of the gradient; each comes with a loss.
        products: with the Hessian, Gauss-Newton or Fisher matrix.
        matrices: places at which such a matrix was made; each takes a loss and a gradient more.
        steps: taken by the loop, whatever came of them.
        effective_steps: those that lowered the loss.
        rejected_pairs: pairs of step and change of gradient that a quasi-Newton memory refused.
        rejected_steps: trial steps of a trust region that were not taken.
        search_failures: searches that found no step to take.
        fallbacks: steps along the negative gradient because the direction's own led nowhere.
        probes: losses that were asked for to see whether a critical point is a minimum.
    """

    losses: int = 0
    gradients: int = 0
    products: int = 0
    matrices: int = 0
    steps: int = 0
    effective_steps: int = 0
    rejected_pairs: int = 0
    rejected_steps: int = 0
    search_failures: int = 0
    fallbacks: int = 0
    probes: int = 0


def losses_of(direction: Direction) -> int:
    """The losses that a direction has asked for itself."""
    return direction.evaluations if isinstance(direction, Evaluating) else 0


def rejected_by(learner: Direction | Model) -> int:
    """The pairs that a direction or a model has not learned from."""
    return learner.rejected if isinstance(learner, Rejecting) else 0
