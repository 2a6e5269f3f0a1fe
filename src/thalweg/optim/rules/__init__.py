"""The shelf of rules, one formula per file; `RULES` finds them by name."""

from thalweg.optim.rule import Rule
from thalweg.optim.rules.adadelta import adadelta
from thalweg.optim.rules.adagrad import adagrad
from thalweg.optim.rules.adam import adam
from thalweg.optim.rules.adamax import adamax
from thalweg.optim.rules.asgd import asgd
from thalweg.optim.rules.nadam import nadam
from thalweg.optim.rules.radam import radam
from thalweg.optim.rules.rmsprop import rmsprop
from thalweg.optim.rules.rprop import rprop
from thalweg.optim.rules.sgd import sgd

RULES: dict[str, Rule] = {
    each.name: each
    for each in (
        sgd,
        adagrad,
        adam,
        rmsprop,
        adadelta,
        adamax,
        nadam,
        radam,
        rprop,
        asgd,
    )
}

__all__ = [
    "RULES",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "asgd",
    "nadam",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
]
