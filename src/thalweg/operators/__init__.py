"""Symmetric matrices of a network, and its Jacobian, known by their products."""

from thalweg.operators.covariance import GradientCovariance
from thalweg.operators.eigenvalue_corrected import EigenvalueCorrected
from thalweg.operators.empirical_fisher import EmpiricalFisher
from thalweg.operators.fisher import Fisher
from thalweg.operators.gauss_newton import GaussNewton
from thalweg.operators.hessian import Hessian
from thalweg.operators.jacobian import Jacobian
from thalweg.operators.kronecker import Kronecker
from thalweg.operators.layer_blocks import BlockDiagonal, Restricted, layers
from thalweg.operators.layout import Layout
from thalweg.operators.linear_map import LinearMap
from thalweg.operators.matrix import Matrix
from thalweg.operators.model_loss import model_loss
from thalweg.operators.monte_carlo_fisher import MonteCarloFisher
from thalweg.operators.operator import Operator, ParameterOperator
from thalweg.operators.optimizer_preconditioner import optimizer_preconditioner
from thalweg.operators.preconditioned import Preconditioned, adam_preconditioner

__all__ = [
    "BlockDiagonal",
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
    "adam_preconditioner",
    "layers",
    "model_loss",
    "optimizer_preconditioner",
]
