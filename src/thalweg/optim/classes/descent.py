"""Gradient descent and its momenta."""

from thalweg.optim.classes.making import optimizer_class
from thalweg.optim.classes.switches import UNFUSED
from thalweg.optim.rules import (
    asgd,
    coordinate_descent,
    momentum,
    nesterov,
    sgd,
    sgd_with_history,
    sign_sgd,
)
from thalweg.optim.wrappers import l2, maximize, weight_decay

SGD = optimizer_class(
    "SGD",
    maximize(l2(sgd)),
    ("lr", "momentum", "dampening", "weight_decay", "nesterov"),
    module="thalweg.optim",
)


ASGD = optimizer_class(
    "ASGD",
    maximize(l2(asgd)),
    (
        "lr",
        "lambd",
        "alpha",
        "t0",
        "weight_decay",
        "foreach",
        "maximize",
        "differentiable",
        "capturable",
    ),
    flags=UNFUSED,
    module="thalweg.optim",
)

AveragedSGD = optimizer_class(
    "AveragedSGD",
    maximize(l2(asgd)),
    ("lr", "alpha", "t0", "weight_decay"),
    flags=UNFUSED,
    fixed={"convention": "polyak"},
    lambd=0.0,
    t0=0.0,
    module="thalweg.optim",
    doc=f"""AveragedSGD: SGD, and beside it the mean of all its iterates, in the state as `ax`.

It is ASGD under the convention "polyak": averaging begins at the first step, and the learning rate,
constant unless a schedule or `lambd` changes it, acts at once.

{asgd.doc}""",
)

Momentum = optimizer_class(
    "Momentum", maximize(l2(momentum)), ("lr", "momentum", "weight_decay"), module="thalweg.optim"
)

Nesterov = optimizer_class(
    "Nesterov", maximize(l2(nesterov)), ("lr", "momentum", "weight_decay"), module="thalweg.optim"
)

SGDWithHistory = optimizer_class(
    "SGDWithHistory",
    maximize(l2(sgd_with_history)),
    ("lr", "history", "weight_decay"),
    module="thalweg.optim",
)

SignSGD = optimizer_class(
    "SignSGD",
    maximize(weight_decay(sign_sgd)),
    ("lr", "momentum", "weight_decay"),
    decoupled_weight_decay=True,
    module="thalweg.optim",
)

CoordinateDescent = optimizer_class(
    "CoordinateDescent",
    maximize(l2(coordinate_descent)),
    ("lr", "selection", "seed", "weight_decay"),
    module="thalweg.optim",
)
