"""Curvature: what learning rate, what kind of point, how sharp, how noisy; and the matrices behind.

    from thalweg.curvature import learning_rate
    print(learning_rate(model, loss, loader))

The answers are functions of a model, its loss and its data, or of a Hessian. The matrices are those
of `thalweg.operators`, and the algorithms on them are in `thalweg.linalg`.
"""

from thalweg.curvature.critical_point import CriticalPoint, Escape, critical_point
from thalweg.curvature.critical_rate import CriticalRate, critical_rate
from thalweg.curvature.learning_rate import LearningRate, Rate, learning_rate
from thalweg.curvature.methods import Method
from thalweg.curvature.noise_scale import NoiseScale, noise_scale
from thalweg.curvature.sharpness import Sharpness, sharpness
from thalweg.curvature.spectrum import Spectrum, spectrum
from thalweg.curvature.stability import adam_largest_lr, adam_limit, sgd_largest_lr, sgd_limit
from thalweg.curvature.stepping import Stepped
from thalweg.operators import (
    BlockDiagonal,
    EigenvalueCorrected,
    EmpiricalFisher,
    Fisher,
    GaussNewton,
    GradientCovariance,
    Hessian,
    Jacobian,
    Kronecker,
    Layout,
    LinearMap,
    Matrix,
    MonteCarloFisher,
    Operator,
    ParameterOperator,
    Preconditioned,
    Restricted,
    adam_preconditioner,
    layers,
    model_loss,
    optimizer_preconditioner,
)

__all__ = [
    "BlockDiagonal",
    "CriticalPoint",
    "CriticalRate",
    "EigenvalueCorrected",
    "EmpiricalFisher",
    "Escape",
    "Fisher",
    "GaussNewton",
    "GradientCovariance",
    "Hessian",
    "Jacobian",
    "Kronecker",
    "Layout",
    "LearningRate",
    "LinearMap",
    "Matrix",
    "Method",
    "MonteCarloFisher",
    "NoiseScale",
    "Operator",
    "ParameterOperator",
    "Preconditioned",
    "Rate",
    "Restricted",
    "Sharpness",
    "Spectrum",
    "Stepped",
    "adam_largest_lr",
    "adam_limit",
    "adam_preconditioner",
    "critical_point",
    "critical_rate",
    "layers",
    "learning_rate",
    "model_loss",
    "noise_scale",
    "optimizer_preconditioner",
    "sgd_largest_lr",
    "sgd_limit",
    "sharpness",
    "spectrum",
]
