"""What is said of the directions and searches of `thalweg.minimize`, by their names.

A page is the docstring of the file in which the thing is written: idea, formula, reference. What a
file does not say stands here: when not to use it, and what it costs where that is no part of the
formula. The files are read without being imported.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FIRST_ORDER = "A loss with its gradient for each trial of the search. Memory: a few vectors."
TRIALS = "A loss with its gradient for each trial."
ONE_OR_TWO = "One or two trials a step after good directions, each a loss with its gradient."
MINIBATCHES = (
    "On minibatches: it needs gradients of one loss, and successive ones of different samples "
    "contradict each other. Take an optimizer such as `adam`, or `k-fac`."
)
EXACT_STEPS = f"{MINIBATCHES} With inexact steps: keep the tight search that it gets by default."
DENSE = "Beyond some thousand parameters, where the n x n matrix is too large: take `{}`."
NEEDS_A_MODEL = (
    "For a loss that is not a model's output compared with targets by a convex function, since "
    "the Gauss-Newton matrix needs that cut: take `l-bfgs` or `newton-cg`."
)
BATCH_STATISTICS = (
    "On minibatches under batch normalization: an exact step for one batch may raise the loss of "
    "all. Take `k-fac`, `hessian-free` or `saddle-free-newton`, or larger batches."
)


@dataclass(frozen=True)
class Page:
    """Where the docstring stands, and what it does not say.

    Attributes:
        source: below `minimize`, without the ending.
        avoid: when not to use it.
        cost: what it takes, where the docstring does not say so.
        beside: another source, which goes on.
    """

    source: str
    avoid: str
    cost: str = ""
    beside: str = ""

    @property
    def text(self) -> str:
        """The page, without its heading; a docstring in Markdown."""
        parts = [docstring(source) for source in (self.source, self.beside) if source]
        parts += [f"Cost: {self.cost}"] if self.cost else []
        return "\n\n".join([*parts, f"When not to use it: {self.avoid}"])


@cache
def docstring(source: str) -> str:
    """Of a file below `minimize`."""
    path = files("thalweg").joinpath("minimize", *f"{source}.py".split("/"))
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


CONJUGATE = Page("directions/conjugate_gradient", EXACT_STEPS, FIRST_ORDER)
CONJUGATE_PURE = Page(
    "directions/conjugate_gradient",
    f"Where steps are poor: it may go on with short ones; prefer `polak-ribiere+`. {EXACT_STEPS}",
    FIRST_ORDER,
)
KRONECKER = Page(
    "directions/kronecker_natural_gradient",
    "For small models on one full batch, where `l-bfgs` and `levenberg-marquardt` are cheaper; for "
    f"models whose parameters lie outside layers, which get exact blocks. {NEEDS_A_MODEL}",
)

DIRECTION_PAGES = {
    "steepest-descent": Page(
        "directions/steepest_descent",
        "On ill-conditioned losses, where its steps zigzag: any other method here does better.",
        FIRST_ORDER,
    ),
    "fletcher-reeves": CONJUGATE_PURE,
    "polak-ribiere": CONJUGATE_PURE,
    "polak-ribiere+": CONJUGATE,
    "hestenes-stiefel": CONJUGATE_PURE,
    "dai-yuan": CONJUGATE_PURE,
    "hager-zhang": CONJUGATE,
    "bfgs": Page("directions/quasi_newton", f"{DENSE.format('l-bfgs')} {MINIBATCHES}", TRIALS),
    "dfp": Page(
        "directions/quasi_newton",
        f"Where `bfgs` can be had, which mends bad estimates that this one keeps. {MINIBATCHES}",
        TRIALS,
    ),
    "sr1": Page(
        "directions/quasi_newton",
        f"With a line search: it is at home in `trust-region`. {DENSE.format('l-sr1')}",
        TRIALS,
    ),
    "l-bfgs": Page("directions/limited_memory", MINIBATCHES, TRIALS),
    "l-sr1": Page(
        "directions/limited_memory",
        f"With a line search: it is at home in `trust-region`. {MINIBATCHES}",
        TRIALS,
    ),
    "newton": Page("directions/newton", DENSE.format("newton-cg")),
    "newton-cg": Page(
        "directions/newton_cg",
        f"Where gradients are cheap and many steps do no harm: `l-bfgs`. {BATCH_STATISTICS}",
    ),
    "newton-minres": Page(
        "directions/newton_minres",
        f"Where the Hessian is positive definite: `newton-cg` is cheaper. {BATCH_STATISTICS}",
    ),
    "saddle-free-newton": Page(
        "directions/saddle_free_newton",
        "On convex losses, where it is Newton's method at a higher price.",
    ),
    "gauss-newton": Page(
        "directions/gauss_newton",
        f"Far from a solution: `levenberg-marquardt` holds its steps back. {NEEDS_A_MODEL}",
    ),
    "levenberg-marquardt": Page(
        "directions/levenberg_marquardt",
        f"For large models on minibatches: `k-fac` or `hessian-free`. {NEEDS_A_MODEL}",
    ),
    "hessian-free": Page(
        "directions/hessian_free",
        f"On small minibatches: many products are spent on a model of few samples. {NEEDS_A_MODEL}",
    ),
    "natural-gradient": Page(
        "directions/natural_gradient",
        "For a loss that is no likelihood: `gauss-newton`; for large models: `k-fac`.",
    ),
    "k-fac": KRONECKER,
    "ek-fac": KRONECKER,
    "coordinate-descent": Page(
        "directions/coordinate_descent",
        "Where coordinates are strongly coupled, or all derivatives cost as much as one: `l-bfgs`.",
    ),
}

SEARCH_PAGES = {
    "fixed": Page(
        "searches/fixed",
        "Where the loss must not rise: nothing is compared, and the last point need not be the "
        "best.",
        "One loss with its gradient a step.",
    ),
    "exact-quadratic": Page(
        "searches/exact_quadratic",
        "On losses that are not quadratic along a line: `strong-wolfe` or `backtracking`.",
        "Two trials a step on a quadratic, up to ten elsewhere.",
    ),
    "backtracking": Page(
        "searches/backtracking",
        "With gradients and conjugate gradients, whose lengths say nothing, and with `bfgs`, whose "
        "pairs want curvature: `strong-wolfe`.",
        TRIALS,
    ),
    "strong-wolfe": Page(
        "searches/strong_wolfe",
        "On minibatches: `stochastic-armijo`. Near a minimum to the last digits: `hager-zhang`.",
        ONE_OR_TWO,
    ),
    "hager-zhang": Page(
        "searches/hager_zhang",
        "Where the loss must not rise at all: it may, by a little, near a minimum.",
        ONE_OR_TWO,
    ),
    "stochastic-armijo": Page(
        "searches/stochastic_armijo",
        "On one full batch: `strong-wolfe`. Where no model fits all samples, its steps stay noisy.",
        TRIALS,
    ),
    "trust-region": Page(
        "searches/trust_region/__init__",
        "With directions that have no quadratic model: conjugate gradients, Kronecker factors, "
        "coordinate descent.",
        "A trial a step, and the products that minimizing the model takes.",
        "searches/trust_region/radius",
    ),
}
