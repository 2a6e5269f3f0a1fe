"""Curvature: symmetric matrices known by their products, and what they say about step sizes."""

from thalweg.curvature.covariance import GradientCovariance
from thalweg.curvature.eigenvalue_corrected import EigenvalueCorrected
from thalweg.curvature.empirical_fisher import EmpiricalFisher
from thalweg.curvature.fisher import Fisher
from thalweg.curvature.gauss_newton import GaussNewton
from thalweg.curvature.hessian import Hessian
from thalweg.curvature.jacobian import Jacobian
from thalweg.curvature.kronecker import Kronecker
from thalweg.curvature.layer_blocks import BlockDiagonal, Restricted, layers
from thalweg.curvature.layout import Layout
from thalweg.curvature.linear_map import LinearMap
from thalweg.curvature.matrix import Matrix
from thalweg.curvature.model_loss import model_loss
from thalweg.curvature.monte_carlo_fisher import MonteCarloFisher
from thalweg.curvature.operator import Operator, ParameterOperator
from thalweg.curvature.optimizer_preconditioner import optimizer_preconditioner
from thalweg.curvature.preconditioned import Preconditioned, adam_preconditioner
from thalweg.curvature.sharpness import CriticalRate, critical_rate
from thalweg.curvature.stability import (
    adam_largest_lr,
    adam_limit,
    sgd_largest_lr,
    sgd_limit,
)

__all__ = [
    "BlockDiagonal",
    "CriticalRate",
    "EigenvalueCorrected",
    "EmpiricalFisher",
    "Fisher",
    "GaussNewton",
    "GradientCovariance",
    "Hessian",
    "Jacobian",
    "Kronecker",
    "Layout",
    "LinearMap",
    "Matrix",
    "MonteCarloFisher",
    "Operator",
    "ParameterOperator",
    "Preconditioned",
    "Restricted",
    "adam_largest_lr",
    "adam_limit",
    "adam_preconditioner",
    "critical_rate",
    "layers",
    "model_loss",
    "optimizer_preconditioner",
    "sgd_largest_lr",
    "sgd_limit",
]
