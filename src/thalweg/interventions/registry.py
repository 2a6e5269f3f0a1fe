"""The interventions by the kind under which their descriptions travel."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from thalweg.interventions.activation import ActivationSwap
from thalweg.interventions.averaging import Averaging
from thalweg.interventions.batch_size import BatchSize
from thalweg.interventions.class_weights import ClassWeights
from thalweg.interventions.clear_stale_gradients import ClearStaleGradients
from thalweg.interventions.clipping import Clipping
from thalweg.interventions.early_stopping import EarlyStopping
from thalweg.interventions.initialization import Initialization
from thalweg.interventions.input_standardization import InputStandardization
from thalweg.interventions.inserted_activation import InsertedActivation
from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.learning_rate import LearningRate
from thalweg.interventions.longer_training import LongerTraining
from thalweg.interventions.loss_wiring import LossWiring
from thalweg.interventions.master_weights import MasterWeights
from thalweg.interventions.method import Method
from thalweg.interventions.mode import Mode
from thalweg.interventions.normalization import Normalization
from thalweg.interventions.optimizer import OptimizerSwap
from thalweg.interventions.optimizer_setting import OptimizerSetting
from thalweg.interventions.other_sign import OtherSign
from thalweg.interventions.penalty import Penalty
from thalweg.interventions.permuted_targets import PermutedTargets
from thalweg.interventions.perturbation import Perturbation
from thalweg.interventions.regularization import Regularization
from thalweg.interventions.safe_operations import SafeOperations
from thalweg.interventions.schedule import Schedule
from thalweg.interventions.shuffling import Shuffling
from thalweg.interventions.target_standardization import TargetStandardization
from thalweg.interventions.trained_parameters import TrainedParameters
from thalweg.interventions.trimmed_loss import TrimmedLoss
from thalweg.interventions.wider_layers import WiderLayers

INTERVENTIONS: dict[str, type[Intervention]] = {
    one.kind: one
    for one in (
        ActivationSwap,
        Averaging,
        BatchSize,
        ClassWeights,
        ClearStaleGradients,
        Clipping,
        EarlyStopping,
        Initialization,
        InputStandardization,
        InsertedActivation,
        LearningRate,
        LongerTraining,
        LossWiring,
        MasterWeights,
        Method,
        Mode,
        Normalization,
        OptimizerSetting,
        OptimizerSwap,
        OtherSign,
        Penalty,
        PermutedTargets,
        Perturbation,
        Regularization,
        SafeOperations,
        Schedule,
        Shuffling,
        TargetStandardization,
        TrainedParameters,
        TrimmedLoss,
        WiderLayers,
    )
}


def from_data(data: Mapping[str, Any]) -> Intervention:
    """The intervention that plain data describes.

    Raises:
        InterventionError: If the kind or a setting is unknown, with the nearest known kind.
    """
    fields = dict(data)
    kind = fields.pop("kind", None)
    if kind not in INTERVENTIONS:
        near = difflib.get_close_matches(str(kind), INTERVENTIONS, 1)
        known = f"known: {', '.join(sorted(INTERVENTIONS))}"
        hint = f"did you mean {near[0]!r}?" if near else known
        raise InterventionError(f"there is no intervention {kind!r}; {hint}")
    return INTERVENTIONS[kind].make(fields)
