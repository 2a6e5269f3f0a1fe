"""What the codes of causes mean, in a few words each.

The vocabulary is open: a code that is not here is shown by its own words.
"""

from typing import Final, NamedTuple


class Cause(NamedTuple):
    """A cause in words: a title, and what is the matter."""

    title: str
    meaning: str


CAUSES: Final[dict[str, Cause]] = {
    "learning-rate-too-high": Cause(
        "Learning rate too high",
        "Steps overshoot: they exceed what the curvature allows, and the loss swings or diverges.",
    ),
    "learning-rate-too-low": Cause(
        "Learning rate too low",
        "Each step makes a small fraction of the progress that the curvature allows.",
    ),
    "ill-conditioning": Cause(
        "Ill-conditioning",
        "Curvature differs by orders of magnitude between directions; no single rate suits all.",
    ),
    "gradient-noise": Cause(
        "Gradient noise",
        "At this batch size and learning rate, the minibatch gradient is mostly noise.",
    ),
    "optimizer-setting": Cause(
        "Optimizer setting",
        "A setting of the optimizer other than its learning rate is off.",
    ),
    "weak-optimizer": Cause(
        "Weak optimizer",
        "Plain descent, where the problem needs an accelerated or adaptive method.",
    ),
    "vanishing-gradient": Cause(
        "Vanishing gradient",
        "Early layers receive almost no gradient.",
    ),
    "exploding-gradient": Cause(
        "Exploding gradient",
        "Gradients grow from layer to layer or from step to step.",
    ),
    "cliff": Cause(
        "Cliff",
        "Rare, enormous gradients throw the parameters away.",
    ),
    "dead-units": Cause(
        "Dead units",
        "Units give the same output for every input.",
    ),
    "saturated-units": Cause(
        "Saturated units",
        "Units are stuck on the flat part of their activation.",
    ),
    "symmetric-initialization": Cause(
        "Symmetric initialization",
        "Units start identical and stay so.",
    ),
    "initialization-scale": Cause(
        "Initialization scale",
        "The weights start far too large or far too small.",
    ),
    "saddle-point": Cause(
        "Saddle point",
        "The gradient is small, and some direction still curves down.",
    ),
    "plateau": Cause(
        "Plateau",
        "The gradient is small, and no direction that matters curves.",
    ),
    "unscaled-inputs": Cause(
        "Unscaled inputs",
        "Inputs lie off-center or on very different scales.",
    ),
    "unscaled-targets": Cause(
        "Unscaled targets",
        "Targets lie far from the scale that the outputs start at.",
    ),
    "unshuffled-data": Cause(
        "Unshuffled data",
        "Consecutive minibatches are correlated.",
    ),
    "mislabeled-data": Cause(
        "Mislabeled data",
        "Targets do not belong to their inputs.",
    ),
    "class-imbalance": Cause(
        "Class imbalance",
        "A few classes dominate the loss.",
    ),
    "loss-output-mismatch": Cause(
        "Loss and output do not fit",
        "The loss, the output activation and the format of the targets do not fit together.",
    ),
    "output-range": Cause(
        "Output range",
        "The output activation cannot reach the targets.",
    ),
    "stale-gradients": Cause(
        "Stale gradients",
        "Gradients of earlier steps are still in the sum.",
    ),
    "untrained-parameters": Cause(
        "Untrained parameters",
        "Parameters that should learn are frozen, detached or not given to the optimizer.",
    ),
    "ascending": Cause(
        "Ascending",
        "The update goes up the loss.",
    ),
    "train-eval-mode": Cause(
        "Train and eval mode",
        "Dropout or batch statistics are in the wrong mode.",
    ),
    "bad-architecture": Cause(
        "Bad architecture",
        "The network cannot carry the signal that the task needs.",
    ),
    "overfitting": Cause(
        "Overfitting",
        "The training loss falls while the held-out loss rises.",
    ),
    "over-regularization": Cause(
        "Over-regularization",
        "A penalty, dropout or noise holds the fit back.",
    ),
    "underfitting": Cause(
        "Underfitting",
        "The model is too small for the task.",
    ),
    "stopped-too-early": Cause(
        "Stopped too early",
        "The run ends while it is still improving steadily.",
    ),
    "non-finite": Cause(
        "Non-finite numbers",
        "NaN or infinity appears.",
    ),
    "low-precision": Cause(
        "Low precision",
        "Updates round to zero or overflow in the data type of the parameters.",
    ),
}


def title(code: str) -> str:
    """`Learning rate too high`, for `learning-rate-too-high`."""
    return CAUSES[code].title if code in CAUSES else code.replace("-", " ").capitalize()


def meaning(code: str) -> str:
    """What is the matter, in one sentence; empty for a code that is not known here."""
    return CAUSES[code].meaning if code in CAUSES else ""
