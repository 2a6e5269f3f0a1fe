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
    RAdam,
    RMSprop,
    Rprop,
    Yogi,
)
from thalweg.optim.classes.descent import (
    ASGD,
    SGD,
    AveragedSGD,
    Momentum,
    Nesterov,
    SGDWithHistory,
    SignSGD,
)
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
        Yogi,
        AdaBelief,
        Lion,
        Adan,
        Momentum,
        Nesterov,
        SGDWithHistory,
        SignSGD,
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
    "Lion",
    "Momentum",
    "NAdam",
    "Nesterov",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGDScheduleFree",
    "SGDWithHistory",
    "SignSGD",
    "Yogi",
]
