"""Strategies: in what order, in what portions and with what parts a model is trained.

epoch_batches    batches by seed and epoch, which resume; what the two samplers share
curriculum       easy examples first: a sampler, and difficulty by a teacher
pacing           how fast the difficult ones come
batch_growth     batches that grow where the learning rate would fall
freezing         parts that stay as they are
stages           greedy layer-wise pretraining; gradual unfreezing
gradient_noise   noise on gradients that fades
snapshots        the models at the ends of warm restarts' cycles

Polyak's and stochastic weight averaging are `thalweg.optim`'s; warm restarts are PyTorch's
(`torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`).
"""

from thalweg.training.strategies.batch_growth import BatchGrowth, GrowingBatches
from thalweg.training.strategies.curriculum import CurriculumBatches, losses_of, within_classes
from thalweg.training.strategies.epoch_batches import EpochBatches
from thalweg.training.strategies.freezing import frozen
from thalweg.training.strategies.gradient_noise import GradientNoise
from thalweg.training.strategies.pacing import exponential_pacing, linear_pacing, two_stages
from thalweg.training.strategies.snapshots import Snapshots, cycle_ends
from thalweg.training.strategies.stages import greedy_stages, unfreezing_stages

__all__ = [
    "BatchGrowth",
    "CurriculumBatches",
    "EpochBatches",
    "GradientNoise",
    "GrowingBatches",
    "Snapshots",
    "cycle_ends",
    "exponential_pacing",
    "frozen",
    "greedy_stages",
    "linear_pacing",
    "losses_of",
    "two_stages",
    "unfreezing_stages",
    "within_classes",
]
