"""Interventions: one thing each that can be changed in a running program from outside."""

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
from thalweg.interventions.method_names import updates_named
from thalweg.interventions.mode import Mode
from thalweg.interventions.normalization import Normalization
from thalweg.interventions.optimizer import OptimizerSwap
from thalweg.interventions.optimizer_setting import OptimizerSetting
from thalweg.interventions.other_sign import OtherSign
from thalweg.interventions.penalty import Penalty
from thalweg.interventions.permuted_targets import PermutedTargets
from thalweg.interventions.perturbation import Perturbation
from thalweg.interventions.registry import INTERVENTIONS, from_data
from thalweg.interventions.regularization import Regularization
from thalweg.interventions.safe_operations import SafeOperations
from thalweg.interventions.schedule import Schedule
from thalweg.interventions.shuffling import Shuffling
from thalweg.interventions.target_standardization import TargetStandardization
from thalweg.interventions.trained_parameters import TrainedParameters
from thalweg.interventions.trimmed_loss import TrimmedLoss
from thalweg.interventions.wider_layers import WiderLayers

__all__ = [
    "INTERVENTIONS",
    "ActivationSwap",
    "Averaging",
    "BatchSize",
    "ClassWeights",
    "ClearStaleGradients",
    "Clipping",
    "EarlyStopping",
    "Initialization",
    "InputStandardization",
    "InsertedActivation",
    "Intervention",
    "InterventionError",
    "LearningRate",
    "LongerTraining",
    "LossWiring",
    "MasterWeights",
    "Method",
    "Mode",
    "Normalization",
    "OptimizerSetting",
    "OptimizerSwap",
    "OtherSign",
    "Penalty",
    "PermutedTargets",
    "Perturbation",
    "Regularization",
    "SafeOperations",
    "Schedule",
    "Shuffling",
    "TargetStandardization",
    "TrainedParameters",
    "TrimmedLoss",
    "WiderLayers",
    "from_data",
    "updates_named",
]
