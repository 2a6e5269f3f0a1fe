"""Losses of known truth, for tests, lectures and pictures.

    from thalweg.landscapes import rosenbrock
    valley = rosenbrock()
    valley(valley.minimizers)        # tensor([0.], dtype=torch.float64)

Each is a `Landscape`: a formula that is called on points of shape (..., n), together with its
minimum, its critical points and their curvatures, a start and a domain. `LANDSCAPES` finds the
functions that make them by name; each can be called without arguments.
"""

from collections.abc import Callable

from thalweg.landscapes.beale import beale
from thalweg.landscapes.cliff import cliff, recurrent_cliff
from thalweg.landscapes.himmelblau import himmelblau
from thalweg.landscapes.landscape import CriticalPoint, Landscape
from thalweg.landscapes.linear_regression import (
    Regression,
    lecun_regression,
    linear_regression,
    two_classes,
)
from thalweg.landscapes.noisy_quadratic import expected_loss, noisy_quadratic
from thalweg.landscapes.plateau import plateau
from thalweg.landscapes.quadratic import quadratic, random_basis, ravine, rotation
from thalweg.landscapes.rosenbrock import rosenbrock
from thalweg.landscapes.saddle import monkey_saddle, saddle
from thalweg.landscapes.stochastic import StochasticLandscape
from thalweg.landscapes.styblinski_tang import styblinski_tang
from thalweg.landscapes.weight_chain import one_one_one, weight_chain
from thalweg.landscapes.worst_case import worst_case

LANDSCAPES: dict[str, Callable[[], Landscape]] = {
    "quadratic": quadratic,
    "ravine": ravine,
    "rosenbrock": rosenbrock,
    "beale": beale,
    "himmelblau": himmelblau,
    "styblinski-tang": styblinski_tang,
    "saddle": saddle,
    "monkey-saddle": monkey_saddle,
    "cliff": cliff,
    "recurrent-cliff": recurrent_cliff,
    "plateau": plateau,
    "one-one-one": one_one_one,
    "weight-chain": weight_chain,
    "worst-case": worst_case,
    "noisy-quadratic": noisy_quadratic,
    "linear-regression": lecun_regression,
}

__all__ = [
    "LANDSCAPES",
    "CriticalPoint",
    "Landscape",
    "Regression",
    "StochasticLandscape",
    "beale",
    "cliff",
    "expected_loss",
    "himmelblau",
    "lecun_regression",
    "linear_regression",
    "monkey_saddle",
    "noisy_quadratic",
    "one_one_one",
    "plateau",
    "quadratic",
    "random_basis",
    "ravine",
    "recurrent_cliff",
    "rosenbrock",
    "rotation",
    "saddle",
    "styblinski_tang",
    "two_classes",
    "weight_chain",
    "worst_case",
]
