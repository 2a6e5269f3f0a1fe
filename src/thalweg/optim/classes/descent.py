"""Gradient descent and its momenta."""

from thalweg.optim.optimizer import optimizer_class
from thalweg.optim.rules import sgd
from thalweg.optim.wrappers import l2, maximize

SGD = optimizer_class(
    "SGD",
    maximize(l2(sgd)),
    ("lr", "momentum", "dampening", "weight_decay", "nesterov"),
    module="thalweg.optim",
)
