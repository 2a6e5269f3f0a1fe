"""Regularization: what keeps a model from learning its training set by heart.

selection     which parameters are weights
penalties     R(w) = E(w) + lambda C(w): L1 and L2, added to the loss
after_step    weight decay, soft threshold (L1 with exact zeros), max-norm: after each step
noise         on inputs and on weights
dropping      dropout with a number of units
stopping      early stopping, as the L2 penalty that it amounts to
elastic       elastic distortions of images

Dropout by a probability, label smoothing and decoupled weight decay are PyTorch's own
(`nn.Dropout`, `nn.CrossEntropyLoss(label_smoothing=...)`, `torch.optim.AdamW`).
"""

from thalweg.training.regularization.after_step import MaxNorm, SoftThreshold, WeightDecay
from thalweg.training.regularization.dropping import DropUnits
from thalweg.training.regularization.elastic import ElasticDistortion
from thalweg.training.regularization.noise import GaussianNoise, weight_noise
from thalweg.training.regularization.penalties import Penalty, l1_penalty, l2_penalty
from thalweg.training.regularization.selection import decay_groups, weights
from thalweg.training.regularization.stopping import equivalent_decay

__all__ = [
    "DropUnits",
    "ElasticDistortion",
    "GaussianNoise",
    "MaxNorm",
    "Penalty",
    "SoftThreshold",
    "WeightDecay",
    "decay_groups",
    "equivalent_decay",
    "l1_penalty",
    "l2_penalty",
    "weight_noise",
    "weights",
]
