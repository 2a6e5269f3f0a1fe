"""Optimizers, each written as its formula, with PyTorch's interface.

    from thalweg.optim import Adam
    optimizer = Adam(model.parameters(), lr=1e-3)

`RULES` finds a formula by name, `OPTIMIZERS` a class by its name in lower case. A formula with
other modifications becomes an optimizer in one line:

    Clipped = optimizer_class("Clipped", clip_by_global_norm(RULES["adam"]))
"""

from thalweg.optim.classes import (
    ASGD,
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AdamWScheduleFree,
    AveragedSGD,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    SGDScheduleFree,
)
from thalweg.optim.companions import (
    SAM,
    Average,
    ExponentialAverage,
    GradientAccumulation,
    Lookahead,
    PolyakAverage,
    StochasticWeightAverage,
    averaged,
    inverse_square_root,
    warmup_stable_decay,
)
from thalweg.optim.engine import FORMS, Engine
from thalweg.optim.hyperparameters import GLOSSARY, Hyperparameter, define
from thalweg.optim.optimizer import RuleOptimizer, optimizer_class
from thalweg.optim.rule import Rule, over_all, rule, slot
from thalweg.optim.rules import RULES
from thalweg.optim.wrappers import (
    bound_units,
    clip_adaptively,
    clip_by_global_norm,
    clip_by_percentile,
    clip_by_tensor_norm,
    clip_by_value,
    decoupled,
    decoupled_from_lr,
    l1,
    l2,
    lookahead,
    maximize,
    rescaled,
    schedule_free,
    weight_decay,
)

__all__ = [
    "ASGD",
    "FORMS",
    "GLOSSARY",
    "OPTIMIZERS",
    "RULES",
    "SAM",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adamax",
    "Average",
    "AveragedSGD",
    "Engine",
    "ExponentialAverage",
    "GradientAccumulation",
    "Hyperparameter",
    "Lookahead",
    "NAdam",
    "PolyakAverage",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Rule",
    "RuleOptimizer",
    "SGDScheduleFree",
    "StochasticWeightAverage",
    "averaged",
    "bound_units",
    "clip_adaptively",
    "clip_by_global_norm",
    "clip_by_percentile",
    "clip_by_tensor_norm",
    "clip_by_value",
    "decoupled",
    "decoupled_from_lr",
    "define",
    "inverse_square_root",
    "l1",
    "l2",
    "lookahead",
    "maximize",
    "optimizer_class",
    "over_all",
    "rescaled",
    "rule",
    "schedule_free",
    "slot",
    "warmup_stable_decay",
    "weight_decay",
]
