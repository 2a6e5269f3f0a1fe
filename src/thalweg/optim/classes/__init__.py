"""The optimizer classes: each a rule with its wrappers, in PyTorch's clothes, by family."""

from thalweg.optim.classes.adaptive import Adagrad, Adam, AdamW
from thalweg.optim.classes.descent import SGD
from thalweg.optim.optimizer import RuleOptimizer

OPTIMIZERS: dict[str, type[RuleOptimizer]] = {
    each.__name__.lower(): each for each in (SGD, Adagrad, Adam, AdamW)
}

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW"]
