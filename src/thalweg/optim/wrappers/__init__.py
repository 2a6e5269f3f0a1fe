"""Functions from rules to rules: N rules and M modifications cost N + M files.

The outermost wrapper acts first: in `maximize(l2(sgd))` the sign turns before the penalty's
gradient is added.
"""

from thalweg.optim.wrappers.clipping import clip_by_global_norm, clip_by_value
from thalweg.optim.wrappers.maximize import maximize
from thalweg.optim.wrappers.weight_decay import decoupled, l2, weight_decay

__all__ = [
    "clip_by_global_norm",
    "clip_by_value",
    "decoupled",
    "l2",
    "maximize",
    "weight_decay",
]
