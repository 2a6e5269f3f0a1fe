"""Surrogates of the 0-1 loss: functions of the margin, of several classes, and what they promise.

    from thalweg.training.losses import MARGIN_LOSSES, crammer_singer, weston_watkins, zero_one_loss

Cross-entropy of several classes is `torch.nn.functional.cross_entropy`; it is not here again.
"""

from thalweg.training.losses.calibration import (
    bound_on_excess,
    calibration_transform,
    is_calibrated,
)
from thalweg.training.losses.margin import MARGIN_LOSSES, MarginLoss, margin_loss
from thalweg.training.losses.multiclass import crammer_singer, weston_watkins
from thalweg.training.losses.zero_one import margins, zero_one_loss

__all__ = [
    "MARGIN_LOSSES",
    "MarginLoss",
    "bound_on_excess",
    "calibration_transform",
    "crammer_singer",
    "is_calibrated",
    "margin_loss",
    "margins",
    "weston_watkins",
    "zero_one_loss",
]
