"""Methods as `torch.optim.Optimizer`s whose `step` takes a closure.

from thalweg.minimize import LBFGS
optimizer = LBFGS(model.parameters(), line_search_fn="strong_wolfe")
optimizer.step(closure)
"""

from thalweg.minimize.optimizers.classes import (
    BFGS,
    CLASSES,
    DFP,
    KFAC,
    LBFGS,
    LSR1,
    SR1,
    CoordinateDescent,
    GaussNewton,
    HessianFree,
    LevenbergMarquardt,
    NaturalGradient,
    Newton,
    NewtonCG,
    NewtonMINRES,
    NonlinearCG,
    SaddleFreeNewton,
    SteepestDescent,
)
from thalweg.minimize.optimizers.optimizer import MethodOptimizer

__all__ = [
    "BFGS",
    "CLASSES",
    "DFP",
    "KFAC",
    "LBFGS",
    "LSR1",
    "SR1",
    "CoordinateDescent",
    "GaussNewton",
    "HessianFree",
    "LevenbergMarquardt",
    "MethodOptimizer",
    "NaturalGradient",
    "Newton",
    "NewtonCG",
    "NewtonMINRES",
    "NonlinearCG",
    "SaddleFreeNewton",
    "SteepestDescent",
]
