"""Optimizers, each written as its formula, with PyTorch's interface.

    from thalweg.optim import Adam
    optimizer = Adam(model.parameters(), lr=1e-3)

`RULES` finds a formula by name, `OPTIMIZERS` a class by its name in lower case. A formula with
other modifications becomes an optimizer in one line:

    Clipped = optimizer_class("Clipped", clip_by_global_norm(RULES["adam"]))
"""

from thalweg.optim.engine import FORMS, Engine
from thalweg.optim.hyperparameters import GLOSSARY, Hyperparameter, define
from thalweg.optim.optimizer import FLAGS, RuleOptimizer, optimizer_class
from thalweg.optim.rule import Rule, over_all, rule, slot
from thalweg.optim.rules import RULES
from thalweg.optim.wrappers import (
    clip_by_global_norm,
    clip_by_value,
    decoupled,
    l2,
    maximize,
    weight_decay,
)

_ADAM = maximize(weight_decay(RULES["adam"]))
_ADAM_ORDER = ("lr", "betas", "eps", "weight_decay", "amsgrad")
_ADAM_FLAGS = {**FLAGS, "capturable": False}

SGD = optimizer_class(
    "SGD",
    maximize(l2(RULES["sgd"])),
    ("lr", "momentum", "dampening", "weight_decay", "nesterov"),
    module=__name__,
)
Adam = optimizer_class("Adam", _ADAM, _ADAM_ORDER, flags=_ADAM_FLAGS, module=__name__)
AdamW = optimizer_class(
    "AdamW",
    _ADAM,
    _ADAM_ORDER,
    flags=_ADAM_FLAGS,
    fixed={"decoupled_weight_decay": True},
    weight_decay=1e-2,
    module=__name__,
    doc=f"""AdamW: Adam with decoupled weight decay.

Before Adam's step every parameter shrinks by lr * weight_decay times itself. The decay does not
pass through the moments, so that it is the same for every coordinate.

Reference: Loshchilov & Hutter (2019), arXiv 1711.05101, algorithm 2.

{RULES["adam"].doc}""",
)

OPTIMIZERS: dict[str, type[RuleOptimizer]] = {
    each.__name__.lower(): each for each in (SGD, Adam, AdamW)
}

__all__ = [
    "FORMS",
    "GLOSSARY",
    "OPTIMIZERS",
    "RULES",
    "SGD",
    "Adam",
    "AdamW",
    "Engine",
    "Hyperparameter",
    "Rule",
    "RuleOptimizer",
    "clip_by_global_norm",
    "clip_by_value",
    "decoupled",
    "define",
    "l2",
    "maximize",
    "optimizer_class",
    "over_all",
    "rule",
    "slot",
    "weight_decay",
]
