"""The shelf of rules, one formula per file; `RULES` finds them by name."""

from thalweg.optim.rule import Rule
from thalweg.optim.rules.adabelief import adabelief
from thalweg.optim.rules.adadelta import adadelta
from thalweg.optim.rules.adafactor import adafactor
from thalweg.optim.rules.adagrad import adagrad
from thalweg.optim.rules.adam import adam
from thalweg.optim.rules.adamax import adamax
from thalweg.optim.rules.adan import adan
from thalweg.optim.rules.asgd import asgd
from thalweg.optim.rules.coordinate_descent import coordinate_descent
from thalweg.optim.rules.lamb import lamb
from thalweg.optim.rules.lars import lars
from thalweg.optim.rules.lion import lion
from thalweg.optim.rules.momentum import momentum
from thalweg.optim.rules.muon import muon
from thalweg.optim.rules.nadam import nadam
from thalweg.optim.rules.nesterov import nesterov
from thalweg.optim.rules.prodigy import prodigy
from thalweg.optim.rules.radam import radam
from thalweg.optim.rules.rmsprop import rmsprop
from thalweg.optim.rules.rprop import rprop
from thalweg.optim.rules.sgd import sgd
from thalweg.optim.rules.sgd_with_history import sgd_with_history
from thalweg.optim.rules.shampoo import shampoo
from thalweg.optim.rules.sign_sgd import sign_sgd
from thalweg.optim.rules.soap import soap
from thalweg.optim.rules.sophia import sophia
from thalweg.optim.rules.sparse_adam import sparse_adam
from thalweg.optim.rules.yogi import yogi

RULES: dict[str, Rule] = {
    each.name: each
    for each in (
        sgd,
        adagrad,
        adam,
        sparse_adam,
        rmsprop,
        adadelta,
        adamax,
        nadam,
        radam,
        rprop,
        asgd,
        muon,
        adafactor,
        lamb,
        lars,
        momentum,
        nesterov,
        sgd_with_history,
        sign_sgd,
        lion,
        yogi,
        adabelief,
        adan,
        shampoo,
        soap,
        prodigy,
        sophia,
        coordinate_descent,
    )
}

__all__ = [
    "RULES",
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adan",
    "asgd",
    "coordinate_descent",
    "lamb",
    "lars",
    "lion",
    "momentum",
    "muon",
    "nadam",
    "nesterov",
    "prodigy",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sgd_with_history",
    "shampoo",
    "sign_sgd",
    "soap",
    "sophia",
    "sparse_adam",
    "yogi",
]
