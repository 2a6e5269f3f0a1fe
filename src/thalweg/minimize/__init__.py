"""Methods that ask for the loss more than once a step: a direction and a search, in one loop.

from thalweg.minimize import minimize
result = minimize(f, x0, direction="l-bfgs")
result.x, result.status, result.why
"""

from thalweg.minimize.counts import Counts
from thalweg.minimize.minimize import minimize
from thalweg.minimize.objective import Objective
from thalweg.minimize.run import Run
from thalweg.minimize.status import Record, Result

__all__ = ["Counts", "Objective", "Record", "Result", "Run", "minimize"]
