"""The functional door: minimize a function of a tensor, and hear honestly how it ended."""

from torch import Tensor

from thalweg.minimize.contract import Direction, LineSearch
from thalweg.minimize.objective import Loss, Objective
from thalweg.minimize.run import Callback, Run
from thalweg.minimize.searches import TrustRegion
from thalweg.minimize.status import Result


def minimize(
    f: Loss | Objective,
    x0: Tensor | None = None,
    direction: str | Direction = "l-bfgs",
    search: str | LineSearch | TrustRegion | None = None,
    *,
    tol: float = 1e-6,
    max_evaluations: int = 10_000,
    certify: bool | None = None,
    escape: bool = True,
    callback: Callback | None = None,
) -> Result:
    """A minimum of `f`, as far down as the tolerance asks.

        >>> result = minimize(lambda x: (x - 1).square().sum(), torch.zeros(3))
        >>> result.status, result.counts.losses
        ('converged', 3)

    Args:
        f: from a tensor like x0 to a scalar tensor that autograd can differentiate; or an
            `Objective`, which may know its gradient and its matrices itself.
        x0: where to start: real floating point, of any shape; it is not changed. None for the
            start of an `Objective`.
        direction: where to step; a name ("l-bfgs", "bfgs", "polak-ribiere+", ...) or an object. By
            name L-BFGS keeps 100 pairs of up to 10,000 parameters each, 10 of 100,000 and more.
        search: how far; a name or an object. None for the strong Wolfe conditions, as tight as the
            direction wants them. "trust-region" or a `TrustRegion` steps to the minimum of the
            direction's model within a radius instead.
        tol: relative to the gradient at x0; see `minimize.tolerance`.
        max_evaluations: of the loss with its gradient, in all.
        certify: whether the Hessian's sign is asked at a critical point, so that no saddle passes
            for a minimum; None asks where the Hessian can be had and x0 has at most 1000 entries.
            It takes up to some hundreds of Hessian products.
        escape: whether to go on from a saddle, down the direction found; if not, to end there.
        callback: called with the point and a `Record` of each step; what it raises goes through.

    Returns:
        The point, with the loss and the gradient there, how the run ended, and what it took.

    Raises:
        TypeError, ValueError: an argument is not of the kinds above, or `f` is no loss.

    `Run` takes the same arguments, and can be stopped, saved and gone on with.
    """
    run = Run(
        f,
        x0,
        direction,
        search,
        tol=tol,
        max_evaluations=max_evaluations,
        certify=certify,
        escape=escape,
        callback=callback,
    )
    return run.result()
