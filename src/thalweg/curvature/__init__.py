"""Curvature: symmetric matrices known by their products, and what they say about step sizes."""

from thalweg.curvature.hessian import Hessian
from thalweg.curvature.layout import Layout
from thalweg.curvature.linear_map import LinearMap
from thalweg.curvature.matrix import Matrix
from thalweg.curvature.model_loss import model_loss
from thalweg.curvature.operator import Operator, ParameterOperator
from thalweg.curvature.preconditioned import Preconditioned, adam_preconditioner
from thalweg.curvature.sharpness import CriticalRate, critical_rate
from thalweg.curvature.stability import (
    adam_largest_lr,
    adam_limit,
    sgd_largest_lr,
    sgd_limit,
)

__all__ = [
    "CriticalRate",
    "Hessian",
    "Layout",
    "LinearMap",
    "Matrix",
    "Operator",
    "ParameterOperator",
    "Preconditioned",
    "adam_largest_lr",
    "adam_limit",
    "adam_preconditioner",
    "critical_rate",
    "model_loss",
    "sgd_largest_lr",
    "sgd_limit",
]
