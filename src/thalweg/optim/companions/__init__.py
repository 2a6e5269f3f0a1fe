"""What goes along with an optimizer, ours or PyTorch's, without being part of its formula.

averaging      averages of the iterates: Polyak's, exponential, stochastic weight averaging
evaluation     `with averaged(...)`: the model at an average for as long as it is evaluated
around         an optimizer that stands in front of another
accumulation   one step for the mean gradient of several batches
lookahead      slow weights that follow any optimizer
sam            sharpness-aware minimization: the gradient from where the loss is worst nearby
schedules      learning-rate schedules that PyTorch lacks
hessian_diagonals   estimates for rules that divide by the curvature
"""

from thalweg.optim.companions.accumulation import GradientAccumulation
from thalweg.optim.companions.averaging import (
    Average,
    ExponentialAverage,
    PolyakAverage,
    StochasticWeightAverage,
)
from thalweg.optim.companions.evaluation import averaged
from thalweg.optim.companions.lookahead import Lookahead
from thalweg.optim.companions.sam import SAM
from thalweg.optim.companions.schedules import inverse_square_root, warmup_stable_decay

__all__ = [
    "SAM",
    "Average",
    "ExponentialAverage",
    "GradientAccumulation",
    "Lookahead",
    "PolyakAverage",
    "StochasticWeightAverage",
    "averaged",
    "inverse_square_root",
    "warmup_stable_decay",
]
