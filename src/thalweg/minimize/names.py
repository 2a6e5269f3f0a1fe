"""Directions and searches by name, and which search suits which direction."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import TypeVar

from thalweg.minimize.contract import Direction, LineSearch
from thalweg.minimize.directions.conjugate_gradient import FORMULAS, ConjugateGradient
from thalweg.minimize.directions.coordinate_descent import CoordinateDescent
from thalweg.minimize.directions.gauss_newton import GaussNewton
from thalweg.minimize.directions.hessian_free import HessianFree
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
)

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
    "coordinate-descent": CoordinateDescent,
}

SEARCHES: dict[str, Callable[[], LineSearch]] = {
    "fixed": Fixed,
    "exact-quadratic": ExactQuadratic,
    "backtracking": Backtracking,
    "strong-wolfe": StrongWolfe,
    "hager-zhang": HagerZhang,
    "stochastic-armijo": StochasticArmijo,
}

# Conjugate directions and plain gradients have no length of their own, and want exact steps.
TIGHT = 0.1


def direction_named(name: str) -> Direction:
    """A new direction; raises ValueError on a name that none has."""
    return named("direction", name, DIRECTIONS)()


def search_named(name: str) -> LineSearch:
    """A new search; raises ValueError on a name that none has."""
    return named("search", name, SEARCHES)()


def suited_search(direction: Direction) -> LineSearch:
    """The strong Wolfe conditions, tight for a direction whose length says nothing."""
    if direction.name in FORMULAS or direction.name == "steepest-descent":
        return StrongWolfe(curvature=TIGHT)
    return StrongWolfe()


def named(what: str, name: str, known: Mapping[str, T]) -> T:
    """The entry of `known`; raises ValueError with the nearest name if there is none."""
    if name in known:
        return known[name]
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."
    raise ValueError(f"minimize({what}={name!r}): not known; {hint}")
