"""Functions from rules to rules: N rules and M modifications cost N + M files.

The outermost wrapper acts first: in `maximize(l2(sgd))` the sign turns before the penalty's
gradient is added.
"""

from thalweg.optim.wrappers.adaptive_clipping import clip_adaptively
from thalweg.optim.wrappers.by_shape import for_matrices
from thalweg.optim.wrappers.cautious import cautious
from thalweg.optim.wrappers.clipping import (
    clip_by_global_norm,
    clip_by_tensor_norm,
    clip_by_value,
)
from thalweg.optim.wrappers.l1 import l1
from thalweg.optim.wrappers.lookahead import lookahead
from thalweg.optim.wrappers.mars import mars
from thalweg.optim.wrappers.maximize import maximize
from thalweg.optim.wrappers.percentile_clipping import clip_by_percentile
from thalweg.optim.wrappers.projection import bound_units
from thalweg.optim.wrappers.proximal_decay import proximal
from thalweg.optim.wrappers.rescaling import rescaled
from thalweg.optim.wrappers.schedule_free import schedule_free
from thalweg.optim.wrappers.weight_decay import decoupled, decoupled_from_lr, l2, weight_decay

__all__ = [
    "bound_units",
    "cautious",
    "clip_adaptively",
    "clip_by_global_norm",
    "clip_by_percentile",
    "clip_by_tensor_norm",
    "clip_by_value",
    "decoupled",
    "decoupled_from_lr",
    "for_matrices",
    "l1",
    "l2",
    "lookahead",
    "mars",
    "maximize",
    "proximal",
    "rescaled",
    "schedule_free",
    "weight_decay",
]
