"""The lectures' training system: empirical risk minimized by a surrogate, and what mends it.

    from thalweg.training import fit
    from thalweg.training.losses import zero_one_loss

    fitted = fit(model, cross_entropy, (x, y), (held_x, held_y), optimizer,
                 metric=zero_one_loss, patience=5)

`losses` holds surrogates of the 0-1 loss and what they promise; `regularization`, `normalization`,
`initialization` and `strategies` what else the lectures teach. Of the last four, what a training
script needs is named here too.
"""

from thalweg.training.checkpoint import CheckpointError
from thalweg.training.clipping import ClipNorm, ClipValue
from thalweg.training.estimates import Estimate, estimate
from thalweg.training.fit import fit
from thalweg.training.history import Epoch, Fitted
from thalweg.training.initialization import LSUV, Fixup, initialize
from thalweg.training.normalization import InputNormalization, insert_normalization
from thalweg.training.regularization import (
    DropUnits,
    ElasticDistortion,
    GaussianNoise,
    MaxNorm,
    Penalty,
    SoftThreshold,
    WeightDecay,
    decay_groups,
    equivalent_decay,
    l1_penalty,
    l2_penalty,
    weight_noise,
)
from thalweg.training.risk import Generalization, Size, generalization, learning_curve, risk
from thalweg.training.strategies import (
    BatchGrowth,
    CurriculumBatches,
    GradientNoise,
    GrowingBatches,
    Snapshots,
    cycle_ends,
    exponential_pacing,
    frozen,
    greedy_stages,
    linear_pacing,
    losses_of,
    two_stages,
    unfreezing_stages,
    within_classes,
)

__all__ = [
    "LSUV",
    "BatchGrowth",
    "CheckpointError",
    "ClipNorm",
    "ClipValue",
    "CurriculumBatches",
    "DropUnits",
    "ElasticDistortion",
    "Epoch",
    "Estimate",
    "Fitted",
    "Fixup",
    "GaussianNoise",
    "Generalization",
    "GradientNoise",
    "GrowingBatches",
    "InputNormalization",
    "MaxNorm",
    "Penalty",
    "Size",
    "Snapshots",
    "SoftThreshold",
    "WeightDecay",
    "cycle_ends",
    "decay_groups",
    "equivalent_decay",
    "estimate",
    "exponential_pacing",
    "fit",
    "frozen",
    "generalization",
    "greedy_stages",
    "initialize",
    "insert_normalization",
    "l1_penalty",
    "l2_penalty",
    "learning_curve",
    "linear_pacing",
    "losses_of",
    "risk",
    "two_stages",
    "unfreezing_stages",
    "weight_noise",
    "within_classes",
]
