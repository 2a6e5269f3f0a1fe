"""Sums of squares with known minima, from their standard starts: a test set for minimizers.

    from thalweg.landscapes.more_garbow_hillstrom import PROBLEMS
    problem = PROBLEMS["5 Beale"]
    problem.loss(problem.start)

J. More, B. Garbow & K. Hillstrom, *Testing unconstrained optimization software*, ACM Trans. Math.
Softw. 7 (1981), 17-41: all 35, the numbers in the names are theirs. The sizes of those that have
any are chosen here.
"""

import torch

from thalweg.landscapes.more_garbow_hillstrom import any_size, fits, small
from thalweg.landscapes.more_garbow_hillstrom.problem import SumOfSquares, upto, vector

GRID = upto(10) / 11  # points between the ends of an interval

PROBLEMS: dict[str, SumOfSquares] = {
    "1 Rosenbrock": SumOfSquares(any_size.rosenbrock, vector(-1.2, 1)),
    "2 Freudenstein and Roth": SumOfSquares(
        small.freudenstein_roth, vector(0.5, -2), (0.0, 48.98425)
    ),
    "3 Powell badly scaled": SumOfSquares(small.powell_badly_scaled, vector(0, 1)),
    "4 Brown badly scaled": SumOfSquares(small.brown_badly_scaled, vector(1, 1)),
    "5 Beale": SumOfSquares(small.beale, vector(1, 1)),
    "6 Jennrich and Sampson": SumOfSquares(small.jennrich_sampson, vector(0.3, 0.4), (124.36218,)),
    "7 helical valley": SumOfSquares(small.helical_valley, vector(-1, 0, 0)),
    "8 Bard": SumOfSquares(fits.bard, vector(1, 1, 1), (8.214877e-3, 17.42869)),
    "9 Gaussian": SumOfSquares(fits.gaussian, vector(0.4, 1, 0), (1.127933e-8,)),
    "10 Meyer": SumOfSquares(fits.meyer, vector(0.02, 4000, 250), (87.94585,)),
    "11 Gulf": SumOfSquares(fits.gulf, vector(5, 2.5, 0.15)),
    "12 Box": SumOfSquares(fits.box, vector(0, 10, 20)),
    "13 Powell singular": SumOfSquares(any_size.powell_singular, vector(3, -1, 0, 1)),
    "14 Wood": SumOfSquares(small.wood, vector(-3, -1, -3, -1)),
    "15 Kowalik and Osborne": SumOfSquares(
        fits.kowalik_osborne, vector(0.25, 0.39, 0.415, 0.39), (3.075056e-4, 1.027345e-3)
    ),
    "16 Brown and Dennis": SumOfSquares(fits.brown_dennis, vector(25, 5, -5, -1), (85822.20,)),
    "17 Osborne 1": SumOfSquares(
        fits.osborne_one, vector(0.5, 1.5, -1, 0.01, 0.02), (5.464895e-5,)
    ),
    "18 Biggs": SumOfSquares(fits.biggs, vector(1, 2, 1, 1, 1, 1), (0.0, 5.655650e-3)),
    "19 Osborne 2": SumOfSquares(
        fits.osborne_two, vector(1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5), (4.013774e-2,)
    ),
    "20 Watson": SumOfSquares(any_size.watson, torch.zeros(6, dtype=torch.float64), (2.287670e-3,)),
    "21 extended Rosenbrock": SumOfSquares(any_size.rosenbrock, vector(-1.2, 1).repeat(5)),
    "22 extended Powell singular": SumOfSquares(
        any_size.powell_singular, vector(3, -1, 0, 1).repeat(3)
    ),
    "23 penalty I": SumOfSquares(any_size.penalty_one, upto(4), (2.249978e-5,)),
    "24 penalty II": SumOfSquares(any_size.penalty_two, vector(*[0.5] * 4), (9.376293e-6,)),
    "25 variably dimensioned": SumOfSquares(any_size.variably_dimensioned, 1 - upto(8) / 8),
    "26 trigonometric": SumOfSquares(
        any_size.trigonometric, vector(*[0.1] * 10), (0.0, 2.795056e-5)
    ),
    "27 Brown almost linear": SumOfSquares(
        any_size.brown_almost_linear, vector(*[0.5] * 6), (0.0, 1.0)
    ),
    "28 discrete boundary value": SumOfSquares(any_size.boundary_value, GRID * (GRID - 1)),
    "29 discrete integral equation": SumOfSquares(any_size.integral_equation, GRID * (GRID - 1)),
    "30 Broyden tridiagonal": SumOfSquares(any_size.broyden_tridiagonal, -torch.ones(10).double()),
    "31 Broyden banded": SumOfSquares(any_size.broyden_banded, -torch.ones(10).double()),
    "32 linear, full rank": SumOfSquares(
        any_size.linear_full_rank, torch.ones(10).double(), (10.0,)
    ),
    "33 linear, rank 1": SumOfSquares(
        any_size.linear_rank_one, torch.ones(10).double(), (190 / 41,)
    ),
    "34 linear, rank 1 with zeros": SumOfSquares(
        any_size.linear_rank_one_with_zeros, torch.ones(10).double(), (227 / 37,)
    ),
    "35 Chebyquad": SumOfSquares(any_size.chebyquad, upto(8) / 9, (3.516874e-3,)),
}

__all__ = ["PROBLEMS", "SumOfSquares"]
