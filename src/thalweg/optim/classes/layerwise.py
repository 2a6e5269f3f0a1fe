"""Optimizers whose steps are in proportion to each layer's weights."""

from thalweg.optim.classes.making import optimizer_class
from thalweg.optim.classes.switches import UNFUSED
from thalweg.optim.rules import lamb, lars
from thalweg.optim.wrappers import maximize

LAMB = optimizer_class(
    "LAMB",
    maximize(lamb),
    ("lr", "betas", "eps", "weight_decay"),
    flags=UNFUSED,
    module="thalweg.optim",
)

LARS = optimizer_class(
    "LARS",
    maximize(lars),
    ("lr", "momentum", "weight_decay", "trust_coefficient"),
    flags=UNFUSED,
    module="thalweg.optim",
)
