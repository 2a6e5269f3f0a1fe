"""Directions and searches by name, and which search suits which direction."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from thalweg.minimize.contract import Direction, LineSearch, Modelled
from thalweg.minimize.directions.conjugate_gradient import FORMULAS, ConjugateGradient
from thalweg.minimize.directions.coordinate_descent import CoordinateDescent
from thalweg.minimize.directions.gauss_newton import GaussNewton
from thalweg.minimize.directions.hessian_free import HessianFree
from thalweg.minimize.directions.kronecker_natural_gradient import KroneckerNaturalGradient
from thalweg.minimize.directions.levenberg_marquardt import LevenbergMarquardt
from thalweg.minimize.directions.limited_memory import LBFGS, LSR1
from thalweg.minimize.directions.natural_gradient import NaturalGradient
from thalweg.minimize.directions.newton import Newton
from thalweg.minimize.directions.newton_cg import NewtonCG
from thalweg.minimize.directions.newton_minres import NewtonMINRES
from thalweg.minimize.directions.quasi_newton import BFGS, DFP, SR1
from thalweg.minimize.directions.saddle_free_newton import SaddleFreeNewton
from thalweg.minimize.directions.steepest_descent import SteepestDescent
from thalweg.minimize.searches import (
    Backtracking,
    ExactQuadratic,
    Fixed,
    HagerZhang,
    StochasticArmijo,
    StrongWolfe,
    TrustRegion,
)
from thalweg.minimize.searches.trust_region.region import SubproblemName
from thalweg.minimize.spelling import known_as, suggestion

T = TypeVar("T")

DIRECTIONS: dict[str, Callable[[], Direction]] = {
    "steepest-descent": SteepestDescent,
    **{name: partial(ConjugateGradient, name) for name in FORMULAS},
    "bfgs": BFGS,
    "dfp": DFP,
    "sr1": SR1,
    "l-bfgs": LBFGS,
    "l-sr1": LSR1,
    "newton": Newton,
    "newton-cg": NewtonCG,
    "newton-minres": NewtonMINRES,
    "saddle-free-newton": SaddleFreeNewton,
    "gauss-newton": GaussNewton,
    "levenberg-marquardt": LevenbergMarquardt,
    "hessian-free": HessianFree,
    "natural-gradient": NaturalGradient,
    "k-fac": KroneckerNaturalGradient,
    "ek-fac": partial(KroneckerNaturalGradient, corrected=True),
    "coordinate-descent": CoordinateDescent,
}

SEARCHES: dict[str, Callable[[], LineSearch | TrustRegion]] = {
    "fixed": Fixed,
    "exact-quadratic": ExactQuadratic,
    "backtracking": Backtracking,
    "strong-wolfe": StrongWolfe,
    "hager-zhang": HagerZhang,
    "stochastic-armijo": StochasticArmijo,
    "trust-region": TrustRegion,
}

# Directions that write their matrix down, and the plain gradient; the others take products.
SUBPROBLEMS: dict[str, SubproblemName] = {
    "steepest-descent": "cauchy",
    **dict.fromkeys(("bfgs", "dfp", "sr1", "newton", "saddle-free-newton"), "exact"),
}

# Conjugate directions and plain gradients have no length of their own, and want exact steps.
TIGHT = 0.1


# Pairs that limited memories keep by name: most of them where they are cheap, fewest where not.
MOST_PAIRS, FEWEST_PAIRS = 100, 10
# Entries of vectors that may be kept so as to have more than the fewest.
CHEAP = 1_000_000


def direction_named(name: str, size: int | None = None) -> Direction:
    """A new direction, for `size` parameters; raises ValueError on a name that none has."""
    make = named("direction", name, DIRECTIONS)
    if size is not None and make in (LBFGS, LSR1):
        return make(memory_for(size))
    return make()


def memory_for(size: int) -> int:
    """The pairs that L-BFGS keeps over `size` parameters.

    Of 101 problems of CUTEst in at most 30 variables it solves 95 with 100 pairs, and those that
    BFGS solves with a matrix in 0.69 of its evaluations. A pair costs a pass over two vectors a
    step: nothing where vectors are short, and the step itself where they are long.
    """
    return max(FEWEST_PAIRS, min(MOST_PAIRS, CHEAP // size))


def search_named(name: str, direction: Direction | None = None) -> LineSearch | TrustRegion:
    """A new search, as it suits the direction; raises ValueError on a name that none has."""
    search = named("search", name, SEARCHES)()
    if direction is None:
        return search
    if isinstance(search, TrustRegion):
        return TrustRegion(SUBPROBLEMS.get(direction.name, "steihaug"))
    if isinstance(search, StrongWolfe | HagerZhang) and wants_exact_steps(direction):
        return replace(search, curvature=TIGHT)
    return search


def check_model(direction: Direction) -> Modelled:
    """`direction`; raises ValueError if it has no model for a trust region to minimize."""
    if isinstance(direction, Modelled):
        return direction
    able = [name for name, make in DIRECTIONS.items() if isinstance(make(), Modelled)]
    raise ValueError(
        f"minimize(direction={direction.name!r}, search='trust-region'): a trust region minimizes "
        f"a direction's quadratic model, and {direction.name} has none. Give it a line search, or "
        f"take one of {', '.join(able)}."
    )


def suited_search(direction: Direction) -> LineSearch:
    """The strong Wolfe conditions, tight for a direction whose length says nothing."""
    return StrongWolfe(curvature=TIGHT) if wants_exact_steps(direction) else StrongWolfe()


def wants_exact_steps(direction: Direction) -> bool:
    """Whether its lengths say nothing, so that the search has to find the line's minimum."""
    return direction.name in FORMULAS or direction.name == "steepest-descent"


def named(what: str, name: str, known: Mapping[str, T]) -> T:
    """The entry of `known`; raises ValueError with the nearest names if there is none."""
    if meant := known_as(name, known):
        return known[meant]
    raise ValueError(f"minimize({what}={name!r}): not known; {suggestion(name, known)}.")
