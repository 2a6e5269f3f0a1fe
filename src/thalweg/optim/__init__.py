"""Optimizers, each written as its formula, with PyTorch's interface.

    from thalweg.optim import Adam
    optimizer = Adam(model.parameters(), lr=1e-3)

`RULES` finds a formula by name, `OPTIMIZERS` a class by its name in lower case. A formula with
other modifications becomes an optimizer in one line:

    Clipped = optimizer_class("Clipped", clip_by_global_norm(RULES["adam"]))

What goes along with any optimizer, ours or PyTorch's, stands in `companions`: averages of the
iterates, gradient accumulation, Lookahead, SAM, schedules.

    average = PolyakAverage(optimizer, start=1000)
    ...
    with averaged(average):
        evaluate(model)

Methods that ask for the loss more than once a step (`METHODS`: LBFGS, NewtonCG, KFAC, ...) are
`thalweg.minimize`'s and can be had here by the same names; they are loaded when first named.
"""

import importlib
from typing import Any

from thalweg.optim.classes import (
    ASGD,
    LAMB,
    LARS,
    OPTIMIZERS,
    SGD,
    SOAP,
    AdaBelief,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AdamWScheduleFree,
    Adan,
    AveragedSGD,
    CoordinateDescent,
    Lion,
    Momentum,
    Muon,
    MuonAdamW,
    NAdam,
    Nesterov,
    Prodigy,
    RAdam,
    RMSprop,
    Rprop,
    SGDScheduleFree,
    SGDWithHistory,
    Shampoo,
    SignSGD,
    Sophia,
    SparseAdam,
    Yogi,
)
from thalweg.optim.classes.making import optimizer_class
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
from thalweg.optim.optimizer import RuleOptimizer
from thalweg.optim.rule import Rule, over_all, rule, slot
from thalweg.optim.rules import RULES
from thalweg.optim.wrappers import (
    bound_units,
    cautious,
    clip_adaptively,
    clip_by_global_norm,
    clip_by_percentile,
    clip_by_tensor_norm,
    clip_by_value,
    decoupled,
    decoupled_from_lr,
    for_matrices,
    l1,
    l2,
    lookahead,
    mars,
    maximize,
    proximal,
    rescaled,
    schedule_free,
    weight_decay,
)

# `CoordinateDescent` is the rule here; the method of that name is `thalweg.minimize`'s.
METHODS = (
    "BFGS",
    "DFP",
    "GaussNewton",
    "HessianFree",
    "KFAC",
    "LBFGS",
    "LSR1",
    "LevenbergMarquardt",
    "NaturalGradient",
    "Newton",
    "NewtonCG",
    "NewtonMINRES",
    "NonlinearCG",
    "SR1",
    "SaddleFreeNewton",
    "SteepestDescent",
)

__all__ = [
    "ASGD",
    "FORMS",
    "GLOSSARY",
    "LAMB",
    "LARS",
    "METHODS",
    "OPTIMIZERS",
    "RULES",
    "SAM",
    "SGD",
    "SOAP",
    "AdaBelief",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adamax",
    "Adan",
    "Average",
    "AveragedSGD",
    "CoordinateDescent",
    "Engine",
    "ExponentialAverage",
    "GradientAccumulation",
    "Hyperparameter",
    "Lion",
    "Lookahead",
    "Momentum",
    "Muon",
    "MuonAdamW",
    "NAdam",
    "Nesterov",
    "PolyakAverage",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Rule",
    "RuleOptimizer",
    "SGDScheduleFree",
    "SGDWithHistory",
    "Shampoo",
    "SignSGD",
    "Sophia",
    "SparseAdam",
    "StochasticWeightAverage",
    "Yogi",
    "averaged",
    "bound_units",
    "cautious",
    "clip_adaptively",
    "clip_by_global_norm",
    "clip_by_percentile",
    "clip_by_tensor_norm",
    "clip_by_value",
    "decoupled",
    "decoupled_from_lr",
    "define",
    "for_matrices",
    "inverse_square_root",
    "l1",
    "l2",
    "lookahead",
    "mars",
    "maximize",
    "optimizer_class",
    "over_all",
    "proximal",
    "rescaled",
    "rule",
    "schedule_free",
    "slot",
    "warmup_stable_decay",
    "weight_decay",
]


def __getattr__(name: str) -> Any:
    """A method's class, from `thalweg.minimize`."""
    if name in METHODS:
        return getattr(importlib.import_module("thalweg.minimize"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names here and the methods'."""
    return sorted({*globals(), *METHODS})
