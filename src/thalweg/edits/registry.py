"""The editors by the kind of intervention that each carries out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.edits.activation import activation, inserted_activation, normalization
from thalweg.edits.batch_size import batch_size
from thalweg.edits.class_weights import class_weights
from thalweg.edits.clear_stale_gradients import clear_stale_gradients
from thalweg.edits.clipping import clipping
from thalweg.edits.early_stopping import early_stopping
from thalweg.edits.initialization import initialization
from thalweg.edits.learning_rate import learning_rate
from thalweg.edits.longer_training import longer_training
from thalweg.edits.loss_wiring import loss_wiring
from thalweg.edits.mode import mode
from thalweg.edits.optimizer import optimizer
from thalweg.edits.optimizer_setting import optimizer_setting
from thalweg.edits.other_sign import other_sign
from thalweg.edits.regularization import regularization
from thalweg.edits.schedule import schedule
from thalweg.edits.script import Script
from thalweg.edits.shuffling import shuffling
from thalweg.edits.source import Replacement
from thalweg.edits.standardization import input_standardization, target_standardization
from thalweg.edits.trained_parameters import trained_parameters

EDITORS: dict[str, Callable[[Script, Any], list[Replacement]]] = {
    "activation": activation,
    "batch-size": batch_size,
    "class-weights": class_weights,
    "clear-stale-gradients": clear_stale_gradients,
    "clipping": clipping,
    "early-stopping": early_stopping,
    "initialization": initialization,
    "input-standardization": input_standardization,
    "inserted-activation": inserted_activation,
    "learning-rate": learning_rate,
    "longer-training": longer_training,
    "loss-wiring": loss_wiring,
    "mode": mode,
    "normalization": normalization,
    "optimizer": optimizer,
    "optimizer-setting": optimizer_setting,
    "other-sign": other_sign,
    "regularization": regularization,
    "schedule": schedule,
    "shuffling": shuffling,
    "target-standardization": target_standardization,
    "trained-parameters": trained_parameters,
}
