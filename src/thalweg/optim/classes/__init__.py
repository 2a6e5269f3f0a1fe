"""The optimizer classes: each a rule with its wrappers, in PyTorch's clothes, by family."""

from thalweg.optim.classes.adaptive import (
    AdaBelief,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Adan,
    Lion,
    NAdam,
    Prodigy,
    RAdam,
    RMSprop,
    Rprop,
    Yogi,
)
from thalweg.optim.classes.descent import (
    ASGD,
    SGD,
    AveragedSGD,
    CoordinateDescent,
    Momentum,
    Nesterov,
    SGDWithHistory,
    SignSGD,
)
from thalweg.optim.classes.schedule_free import AdamWScheduleFree, SGDScheduleFree
from thalweg.optim.classes.sophia import Sophia
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
        Yogi,
        AdaBelief,
        Lion,
        Adan,
        Momentum,
        Nesterov,
        SGDWithHistory,
        SignSGD,
        Prodigy,
        CoordinateDescent,
        Sophia,
    )
}

__all__ = [
    "ASGD",
    "OPTIMIZERS",
    "SGD",
    "AdaBelief",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adamax",
    "Adan",
    "AveragedSGD",
    "CoordinateDescent",
    "Lion",
    "Momentum",
    "NAdam",
    "Nesterov",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGDScheduleFree",
    "SGDWithHistory",
    "SignSGD",
    "Sophia",
    "Yogi",
]
