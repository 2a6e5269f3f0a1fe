r"""Hutchinson's estimator: tr A = E z'Az for random z with E zz' = I.

For vectors of signs (Rademacher)  Var z'Az = 2 (|A|_F^2 - sum a_ii^2),
for standard normal ones           Var z'Az = 2 |A|_F^2.

M. Hutchinson, *Communications in Statistics - Simulation and Computation* 19 (1990). The first
variance is estimated as well, without a further product: |Az|^2 has mean |A|_F^2, z * Az has mean
diag A, and the products of two independent ones have its squares.

Memory: a block of vectors.
"""

from typing import Literal

import torch
from torch import Tensor

from thalweg.linalg.estimate import Estimate, Sampling, error_of_mean, interval, unit_rounding
from thalweg.linalg.probing import blocks, check_products, dots, gaussian, products, rademacher
from thalweg.operators import Operator

Probes = Literal["rademacher", "gaussian"]
DRAWS = {"rademacher": rademacher, "gaussian": gaussian}


def hutchinson_trace(
    operator: Operator,
    count: int,
    confidence: float,
    seed: int,
    probes: Probes = "rademacher",
) -> Estimate:
    """The mean of z'Az over `count` independent z; see `linalg.trace.trace` for the rest.

    Raises:
        ValueError: fewer than two products, or unknown probes.
    """
    check_products("trace", count, 2, "method='hutchinson'")
    if probes not in DRAWS:
        raise ValueError(f"trace(probes={probes!r}): choose one of {', '.join(DRAWS)}.")
    generator = torch.Generator().manual_seed(seed)
    forms, squares = [], []
    diagonal = torch.zeros(operator.size, dtype=torch.float64, device=operator.device)
    for size in blocks(count):
        tests = DRAWS[probes](operator, size, generator)
        images = products(operator, tests)
        forms.append(dots(tests, images))
        squares.append(dots(images, images))
        diagonal += (tests * images).sum(1)
    samples, square = torch.cat(forms), torch.cat(squares)
    variance = 2 * float(square.mean())
    if probes == "rademacher":
        variance -= 2 * squared_diagonal(diagonal, float(square.sum()), count)
    rounding = unit_rounding(operator.dtype) * operator.size**0.5 * float(square.sqrt().mean())
    return interval(
        float(samples.mean()),
        error_of_mean(samples, variance),
        Sampling(confidence, count, "hutchinson", count - 1, rounding),
    )


def squared_diagonal(total: Tensor, squares: float, count: int) -> float:
    """An unbiased estimate of the sum of a_ii^2, from independent vectors of signs.

    Args:
        total: the sum of z * Az over all z, float64, shape (n,).
        squares: the sum of |Az|^2 = |z * Az|^2.
        count: how many z.
    """
    pairs = float(torch.dot(total, total)) - squares
    return pairs / (count * (count - 1))
