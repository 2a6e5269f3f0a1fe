"""Minimizers behind one call: as they come, and mended.

Mended is with every stopping rule of its own turned off, so that a library is not held to have
failed where it stopped early. scipy's take part in this way only.
"""

from functools import partial

import torch

from solving.peers import has
from solving.watched import Ended
from thalweg.minimize import Objective, minimize

OURS = "thalweg"
OURS_ENDLESS = "thalweg, tol=0"


def thalweg(watched, **options):
    objective = Objective(watched.with_tensors, watched.start, gives_gradient=True)
    return minimize(objective, watched.start, max_evaluations=watched.most, **options)


def scipy(watched, method, **options):
    from scipy import optimize

    return optimize.minimize(
        watched, watched.problem.start.copy(), jac=True, method=method, options=options
    )


def torchmin(watched, method, **options):
    from torchmin import minimize as theirs

    return theirs(
        watched.differentiable, watched.start, method, max_iter=watched.most, options=options
    )


def torch_lbfgs(watched, **options):
    x = watched.start.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [x], max_iter=watched.most, max_eval=watched.most, line_search_fn="strong_wolfe", **options
    )

    def closure():
        optimizer.zero_grad()
        value = watched.differentiable(x)
        value.backward()
        return value

    optimizer.step(closure)


UNBOUNDED = 10**9  # iterations: the evaluations are what is limited
ENDLESS = {"maxiter": UNBOUNDED, "gtol": 0.0}
MINIMIZERS = {
    OURS: ("thalweg", thalweg),
    OURS_ENDLESS: ("thalweg", partial(thalweg, tol=0.0)),
    "scipy L-BFGS-B": (
        "scipy",
        partial(scipy, method="L-BFGS-B", ftol=0.0, maxfun=UNBOUNDED, **ENDLESS),
    ),
    "scipy BFGS": ("scipy", partial(scipy, method="BFGS", **ENDLESS)),
    "scipy CG": ("scipy", partial(scipy, method="CG", **ENDLESS)),
    "torchmin L-BFGS, as it comes": ("torchmin", partial(torchmin, method="l-bfgs")),
    "torchmin L-BFGS, mended": (
        "torchmin",
        partial(torchmin, method="l-bfgs", gtol=0.0, xtol=-1.0, gtd_tol=0.0),
    ),
    "torch LBFGS, as it comes": ("torch", torch_lbfgs),
    "torch LBFGS, mended": (
        "torch",
        partial(torch_lbfgs, history_size=10, tolerance_grad=0.0, tolerance_change=0.0),
    ),
}


def taking_part(peers):
    """Those whose library is ours, or asked for and installed."""
    return {
        name: run
        for name, (library, run) in MINIMIZERS.items()
        if library == "thalweg" or (library in peers and has(library))
    }


def let_run(run, watched):
    """Run it to its end; what it says, or the error that it raised."""
    try:
        return run(watched)
    except Ended:
        return None
    except (ArithmeticError, RuntimeError, ValueError, IndexError) as error:
        return error
