"""Optimizers that give every coordinate a step of its own."""

from thalweg.optim.optimizer import FLAGS, optimizer_class
from thalweg.optim.rules import adagrad, adam
from thalweg.optim.wrappers import l2, maximize, weight_decay

CAPTURABLE = {**FLAGS, "capturable": False}

Adagrad = optimizer_class(
    "Adagrad",
    maximize(l2(adagrad)),
    ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"),
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
