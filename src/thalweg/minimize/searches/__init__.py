"""How far to go: searches along a line, and the trust region."""

from thalweg.minimize.searches.backtracking import Backtracking
from thalweg.minimize.searches.exact_quadratic import ExactQuadratic
from thalweg.minimize.searches.fixed import Fixed
from thalweg.minimize.searches.hager_zhang import HagerZhang
from thalweg.minimize.searches.stochastic_armijo import StochasticArmijo
from thalweg.minimize.searches.strong_wolfe import StrongWolfe
from thalweg.minimize.searches.trust_region import TrustRegion

__all__ = [
    "Backtracking",
    "ExactQuadratic",
    "Fixed",
    "HagerZhang",
    "StochasticArmijo",
    "StrongWolfe",
    "TrustRegion",
]
