"""Optimizers that give every coordinate a step of its own."""

from thalweg.optim.classes.making import optimizer_class
from thalweg.optim.classes.switches import CAPTURABLE, UNFUSED
from thalweg.optim.rules import (
    adabelief,
    adadelta,
    adagrad,
    adam,
    adamax,
    adan,
    lion,
    nadam,
    prodigy,
    radam,
    rmsprop,
    rprop,
    yogi,
)
from thalweg.optim.wrappers import decoupled, l2, maximize, proximal, weight_decay

Adagrad = optimizer_class(
    "Adagrad",
    maximize(l2(adagrad)),
    ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps", "foreach"),
    module="thalweg.optim",
)

_adam = maximize(weight_decay(adam))
_adam_order = ("lr", "betas", "eps", "weight_decay", "amsgrad")

Adam = optimizer_class("Adam", _adam, _adam_order, flags=CAPTURABLE, module="thalweg.optim")

AdamW = optimizer_class(
    "AdamW",
    _adam,
    _adam_order,
    flags=CAPTURABLE,
    fixed={"decoupled_weight_decay": True},
    weight_decay=1e-2,
    module="thalweg.optim",
    doc=f"""AdamW: Adam with decoupled weight decay.

Before Adam's step every parameter shrinks by lr * weight_decay times itself. The decay does not
pass through the moments, so that it is the same for every coordinate.

Reference: Loshchilov & Hutter (2019), arXiv 1711.05101, algorithm 2.

{adam.doc}""",
)

RMSprop = optimizer_class(
    "RMSprop",
    maximize(l2(rmsprop)),
    (
        "lr",
        "alpha",
        "eps",
        "weight_decay",
        "momentum",
        "centered",
        "capturable",
        "foreach",
        "maximize",
        "differentiable",
    ),
    flags=UNFUSED,
    module="thalweg.optim",
)

Adadelta = optimizer_class(
    "Adadelta",
    maximize(l2(adadelta)),
    ("lr", "rho", "eps", "weight_decay", "foreach"),
    flags=UNFUSED,
    module="thalweg.optim",
)

Adamax = optimizer_class(
    "Adamax",
    maximize(l2(adamax)),
    ("lr", "betas", "eps", "weight_decay", "foreach"),
    flags=UNFUSED,
    module="thalweg.optim",
)

NAdam = optimizer_class(
    "NAdam",
    maximize(weight_decay(nadam)),
    ("lr", "betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay"),
    flags=UNFUSED,
    module="thalweg.optim",
)

RAdam = optimizer_class(
    "RAdam",
    maximize(weight_decay(radam)),
    ("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay"),
    flags=UNFUSED,
    module="thalweg.optim",
)

Rprop = optimizer_class(
    "Rprop", maximize(rprop), ("lr", "etas", "step_sizes"), flags=UNFUSED, module="thalweg.optim"
)

Yogi = optimizer_class(
    "Yogi",
    maximize(weight_decay(yogi)),
    ("lr", "betas", "eps", "initial_accumulator_value", "weight_decay"),
    module="thalweg.optim",
)

AdaBelief = optimizer_class(
    "AdaBelief",
    maximize(weight_decay(adabelief)),
    ("lr", "betas", "eps", "weight_decay"),
    decoupled_weight_decay=True,
    module="thalweg.optim",
)

Lion = optimizer_class(
    "Lion", maximize(decoupled(lion)), ("lr", "betas", "weight_decay"), module="thalweg.optim"
)

Adan = optimizer_class(
    "Adan", maximize(proximal(adan)), ("lr", "betas", "eps", "weight_decay"), module="thalweg.optim"
)

Prodigy = optimizer_class(
    "Prodigy",
    maximize(prodigy),
    ("lr", "betas", "eps", "weight_decay", "d0"),
    module="thalweg.optim",
)
