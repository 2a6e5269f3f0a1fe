"""The classes: each a direction of `minimize.directions`, in PyTorch's clothes.

`GUIDE` says what they have in common and is the end of every docstring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.minimize.contract import Direction
from thalweg.minimize.directions import (
    conjugate_gradient,
    coordinate_descent,
    gauss_newton,
    hessian_free,
    kronecker_natural_gradient,
    levenberg_marquardt,
    limited_memory,
    natural_gradient,
    newton,
    newton_cg,
    newton_minres,
    quasi_newton,
    saddle_free_newton,
    steepest_descent,
)
from thalweg.minimize.optimizers.making import method_class
from thalweg.minimize.optimizers.method import Method
from thalweg.minimize.optimizers.optimizer import MethodOptimizer

GUIDE = """
Args:
    params: parameters, groups of them, or names with them; of 32 or 64 bits.
    lr: the first step that the search tries, as a multiple of the length that the direction
        proposes; without a search it is the step. 0 holds still. All groups have the same.
    max_iter: steps of the method in a call of `step`.
    max_eval: evaluations of the closure in a call of `step`; None for 5/4 of `max_iter`, at least
        25.
    tolerance_grad: a gradient counts as zero where its largest entry is this share of the one where
        the first step began.
    tolerance_change: a call ends where a step is no longer than this share of the parameters'
        length.
    line_search_fn: the search, by a name of `minimize.names.SEARCHES` ("strong-wolfe",
        "hager-zhang", "backtracking", "trust-region", ...; PyTorch's "strong_wolfe" too) or an
        object of `minimize.searches`; "auto" for the one that suits the direction; None for steps
        of length `lr` without a search.
    model: whose buffers are put back between the evaluations of a step, so that batch
        normalization's statistics see each minibatch once.
    loss: from (output, targets) to a scalar, for closures that return that pair.
    likelihood: from an output to the distribution of targets, where `loss` does not say.
    certify: whether the Hessian's sign is asked where the gradient counts as zero, so that no
        saddle passes for a minimum; None for where the method has the Hessian anyway and there are
        at most 1000 parameters.

Attributes:
    status, why: how the last step ended; see `minimize.status`.
    loss_before, loss_after: the loss where the last step began and where it ended.
    counts: what all steps so far asked for; see `minimize.Counts`.
"""

PAIRS = """
It takes the loss apart at the model's output. Either the model is given, itself in the place of its
parameters or as `model=`, and the closure calls it once; or `loss` is given, and the closure
returns (model(inputs), targets) and calls no `backward`. A Fisher matrix is one of a distribution,
which `loss` tells.
"""


def of(
    name: str,
    make: Callable[..., Direction],
    does: str,
    *,
    renamed: dict[str, str] | None = None,
    pairs: bool = False,
    looks_back: bool = False,
    **defaults: Any,
) -> type[MethodOptimizer]:
    """A class; its settings beside the common ones are described at the direction."""
    method = Method(make, renamed or {}, defaults, pairs, looks_back)
    where = f"\nIts own settings are those of `{make.__module__}.{make.__qualname__}`"
    also = "".join(f"; {theirs} is its {ours}" for theirs, ours in method.renamed.items())
    doc = f"{does}\n{where}{also}.\n{PAIRS if pairs else ''}{GUIDE}"
    return method_class(name, method, doc)


SteepestDescent = of(
    "SteepestDescent",
    steepest_descent.SteepestDescent,
    "Steepest descent with a search.",
)

NonlinearCG = of(
    "NonlinearCG",
    conjugate_gradient.ConjugateGradient,
    "Nonlinear conjugate gradients, by six formulas.",
)

LBFGS = of(
    "LBFGS",
    limited_memory.LBFGS,
    "L-BFGS, with the arguments of `torch.optim.LBFGS` in its order.",
    renamed={"history_size": "memory"},
    history_size=100,
    line_search_fn=None,
)

LSR1 = of(
    "LSR1",
    limited_memory.LSR1,
    "L-SR1: the symmetric update of rank one, from the last pairs.",
    renamed={"history_size": "memory"},
)

BFGS = of("BFGS", quasi_newton.BFGS, "BFGS with a dense matrix.")

DFP = of("DFP", quasi_newton.DFP, "Davidon, Fletcher and Powell's update, with a dense matrix.")

SR1 = of("SR1", quasi_newton.SR1, "The symmetric update of rank one, with a dense matrix.")

Newton = of("Newton", newton.Newton, "Newton's method with the dense Hessian.", max_iter=1)

NewtonCG = of(
    "NewtonCG",
    newton_cg.NewtonCG,
    "Newton's method by conjugate gradients on Hessian products.",
    max_iter=1,
)

NewtonMINRES = of(
    "NewtonMINRES",
    newton_minres.NewtonMINRES,
    "Newton's method by MINRES on Hessian products.",
    max_iter=1,
)

SaddleFreeNewton = of(
    "SaddleFreeNewton",
    saddle_free_newton.SaddleFreeNewton,
    "Saddle-free Newton, dense or in a Krylov space.",
    max_iter=1,
)

GaussNewton = of(
    "GaussNewton",
    gauss_newton.GaussNewton,
    "The Gauss-Newton method.",
    pairs=True,
    max_iter=1,
)

LevenbergMarquardt = of(
    "LevenbergMarquardt",
    levenberg_marquardt.LevenbergMarquardt,
    "The Levenberg-Marquardt method.",
    pairs=True,
    max_iter=1,
)

HessianFree = of(
    "HessianFree",
    hessian_free.HessianFree,
    "Hessian-free optimization with Gauss-Newton products and Martens's damping.",
    pairs=True,
    looks_back=True,
    max_iter=1,
)

NaturalGradient = of(
    "NaturalGradient",
    natural_gradient.NaturalGradient,
    "Natural gradient descent with the Fisher information, dense or by products.",
    pairs=True,
    max_iter=1,
)

KFAC = of(
    "KFAC",
    kronecker_natural_gradient.KroneckerNaturalGradient,
    "The natural gradient by Kronecker factors (K-FAC; EKFAC with `corrected=True`).",
    pairs=True,
    max_iter=1,
    # As Martens & Grosse have it for minibatches (arXiv 1503.05671, sections 5 and 6.5).
    kind="monte-carlo",
    damping_every=5,
    damping_factor=0.95**5,
    eigenvectors_every=5,
)

CoordinateDescent = of(
    "CoordinateDescent",
    coordinate_descent.CoordinateDescent,
    "Coordinate and block coordinate descent by the Hessian's blocks.",
)

CLASSES: dict[str, type[MethodOptimizer]] = {
    each.__name__: each
    for each in (
        SteepestDescent,
        NonlinearCG,
        LBFGS,
        LSR1,
        BFGS,
        DFP,
        SR1,
        Newton,
        NewtonCG,
        NewtonMINRES,
        SaddleFreeNewton,
        GaussNewton,
        LevenbergMarquardt,
        HessianFree,
        NaturalGradient,
        KFAC,
        CoordinateDescent,
    )
}
