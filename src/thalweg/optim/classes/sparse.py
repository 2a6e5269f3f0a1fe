"""Optimizers for tables with sparse gradients."""

from thalweg.optim.classes.making import optimizer_class
from thalweg.optim.rules.sparse_adam import sparse_adam
from thalweg.optim.wrappers import maximize

SparseAdam = optimizer_class(
    "SparseAdam",
    maximize(sparse_adam),
    ("lr", "betas", "eps", "maximize"),
    flags={},
    module="thalweg.optim",
)
