"""The optimizer classes: each a rule with its wrappers, in PyTorch's clothes, by family."""

from thalweg.optim.classes.adaptive import (
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)
from thalweg.optim.classes.descent import ASGD, SGD, AveragedSGD
from thalweg.optim.classes.schedule_free import AdamWScheduleFree, SGDScheduleFree
from thalweg.optim.optimizer import RuleOptimizer

OPTIMIZERS: dict[str, type[RuleOptimizer]] = {
    each.__name__.lower(): each
    for each in (
        SGD,
        Adagrad,
        Adam,
        AdamW,
        RMSprop,
        Adadelta,
        Adamax,
        NAdam,
        RAdam,
        Rprop,
        ASGD,
        AveragedSGD,
        SGDScheduleFree,
        AdamWScheduleFree,
    )
}

__all__ = [
    "ASGD",
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adamax",
    "AveragedSGD",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGDScheduleFree",
]
