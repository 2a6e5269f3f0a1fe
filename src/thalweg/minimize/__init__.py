"""Methods that ask for the loss more than once a step: a direction and a search, in one loop.

from thalweg.minimize import minimize
result = minimize(f, x0, direction="l-bfgs")
result.x, result.status, result.why

The same methods as `torch.optim.Optimizer`s, whose `step` takes a closure:

optimizer = LBFGS(model.parameters(), line_search_fn="strong_wolfe")
optimizer.step(closure)
"""

from thalweg.minimize.counts import Counts
from thalweg.minimize.minimize import minimize
from thalweg.minimize.objective import Objective
from thalweg.minimize.optimizers import (
    BFGS,
    DFP,
    KFAC,
    LBFGS,
    LSR1,
    SR1,
    CoordinateDescent,
    GaussNewton,
    HessianFree,
    LevenbergMarquardt,
    MethodOptimizer,
    NaturalGradient,
    Newton,
    NewtonCG,
    NewtonMINRES,
    NonlinearCG,
    SaddleFreeNewton,
    SteepestDescent,
)
from thalweg.minimize.run import Run
from thalweg.minimize.status import Record, Result

__all__ = [
    "BFGS",
    "DFP",
    "KFAC",
    "LBFGS",
    "LSR1",
    "SR1",
    "CoordinateDescent",
    "Counts",
    "GaussNewton",
    "HessianFree",
    "LevenbergMarquardt",
    "MethodOptimizer",
    "NaturalGradient",
    "Newton",
    "NewtonCG",
    "NewtonMINRES",
    "NonlinearCG",
    "Objective",
    "Record",
    "Result",
    "Run",
    "SaddleFreeNewton",
    "SteepestDescent",
    "minimize",
]
