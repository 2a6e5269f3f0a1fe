"""The lectures' training system: empirical risk minimized by a surrogate, and what mends it.

    from thalweg.training import fit
    from thalweg.training.losses import zero_one_loss

    fitted = fit(model, cross_entropy, (x, y), (held_x, held_y), optimizer,
                 metric=zero_one_loss, patience=5)

`losses` holds surrogates of the 0-1 loss and what they promise; `regularization`, `normalization`,
`initialization` and `strategies` what else the lectures teach.
"""

from thalweg.training.checkpoint import CheckpointError
from thalweg.training.clipping import ClipNorm, ClipValue
from thalweg.training.estimates import Estimate, estimate
from thalweg.training.fit import fit
from thalweg.training.history import Epoch, Fitted
from thalweg.training.initialization import LSUV, Fixup, initialize
from thalweg.training.normalization import InputNormalization, insert_normalization
from thalweg.training.risk import Generalization, Size, generalization, learning_curve, risk

__all__ = [
    "LSUV",
    "CheckpointError",
    "ClipNorm",
    "ClipValue",
    "Epoch",
    "Estimate",
    "Fitted",
    "Fixup",
    "Generalization",
    "InputNormalization",
    "Size",
    "estimate",
    "fit",
    "generalization",
    "initialize",
    "insert_normalization",
    "learning_curve",
    "risk",
]
