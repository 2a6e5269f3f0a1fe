r"""The squared Frobenius norm: the sum of the squares of the eigenvalues.

With a basis Q of k vectors and B as in `linalg.deflation`,

    |A|_F^2 = |Q'A Q|_F^2 + 2 |(I - Q Q') A Q|_F^2 + |B|_F^2,

of which the first two terms are known and |B|_F^2 is N times the mean of |B z|^2 over unit test
vectors z on the complement. The effective rank (tr A)^2 / |A|_F^2 is read from it.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.linalg.deflation import krylov_space, sampled
from thalweg.linalg.estimate import Estimate, Sampling, error_of_mean, interval, unit_rounding
from thalweg.linalg.identity import columns_of
from thalweg.linalg.probing import check_confidence, check_operator, check_products
from thalweg.linalg.student import t_quantile
from thalweg.operators import Operator


def squared_frobenius_norm(
    operator: Operator, *, products: int = 99, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """The sum of squares of all entries of `operator`, with an interval.

    Args:
        operator: symmetric, n x n.
        products: to take at most, at least 4; with n of them the result is exact.
        confidence: share of the seeds for which the interval is to hold the number.
        seed: of the random vectors; the program's own random state is not touched.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: too few products, or a confidence that is no share.
        FloatingPointError: a product is not finite.

    Memory: one vector of n numbers for each product.
    """
    check_operator("squared_frobenius_norm", operator)
    check_confidence("squared_frobenius_norm", confidence)
    check_products("squared_frobenius_norm", products, 4, "an estimate with its error")
    if operator.size <= products:
        value = sum(float(columns.double().square().sum()) for _, columns in columns_of(operator))
        rounding = 2 * unit_rounding(operator.dtype) * value
        return interval(value, 0.0, Sampling(confidence, operator.size, "exact", 1, rounding))
    generator = torch.Generator().manual_seed(seed)
    space = krylov_space(operator, products // 2, products, generator)
    count = products - space.products
    samples = sampled(operator, space, count, generator)
    known = 2 * float(space.lengths.square().sum()) - float(space.projected.square().sum())
    sampled_part = float(samples.squares.mean())
    error = error_of_mean(samples.squares, mean(samples.crossed), samples.share)
    rounding = 2 * unit_rounding(operator.dtype) * (known + sampled_part)
    how = Sampling(confidence, products, "krylov", count - 1, rounding)
    return beside(known, logarithmic(sampled_part, error, how))


def logarithmic(value: float, error: float, how: Sampling) -> Estimate:
    """An interval for a positive number, symmetric in its logarithm: such samples are skewed."""
    if not value:
        return interval(value, error, how)
    stretch = math.exp(min(t_quantile(how.confidence, how.freedom) * error / value, 700.0))
    lower, upper = value / stretch - how.rounding, value * stretch + how.rounding
    return Estimate(value, error, lower, upper, how.confidence, how.products, how.method)


def beside(known: float, part: Estimate) -> Estimate:
    """The estimate of `known` + what `part` estimates."""
    return replace(
        part, value=known + part.value, lower=known + part.lower, upper=known + part.upper
    )


def mean(values: Tensor) -> float:
    """The mean, or 0 of no values."""
    return float(values.mean()) if len(values) else 0.0
