"""Nesterov's worst function: no method that follows gradients gets down it faster than 1 / t^2.

Its Hessian couples each coordinate to the next alone, so that from the origin a method learns of
one more coordinate with each gradient: after t steps all beyond the t-th are still zero.

Reference: Nesterov (2004), *Introductory Lectures on Convex Optimization*, section 2.1.2.
"""

import math

from torch import Tensor

from thalweg.landscapes.landscape import Landscape, critical, point


def worst_case(dimension: int = 21, smoothness: float = 4.0) -> Landscape:
    """A chain: f(w) = L / 4 ((w_1^2 + sum_i (w_i - w_(i+1))^2 + w_n^2) / 2 - w_1), L = smoothness.

    The minimizer is w_i = 1 - i / (n + 1), the minimum -L / 8 n / (n + 1), and the curvatures are
    L sin^2(k pi / (2 n + 2)) for k = 1 .. n, all below L. It starts at the origin. A method that
    moves within the span of its gradients has, after t < n steps,
    f(w_t) - minimum >= L / 8 (1 / (t + 1) - 1 / (n + 1)), and so at t = (n - 1) / 2 at least
    3 L |w_0 - minimizer|^2 / (32 (t + 1)^2) (theorem 2.1.7).

    Args:
        dimension: n, at least 1.
        smoothness: L, above zero.

    Raises:
        ValueError: No dimension, or no smoothness.
    """
    if dimension < 1 or smoothness <= 0:
        raise ValueError(
            f"worst_case(dimension={dimension}, smoothness={smoothness}): the dimension is at "
            "least 1 and the smoothness above zero."
        )
    n = dimension

    def loss(w: Tensor) -> Tensor:
        steps = (w[..., 1:] - w[..., :-1]).square().sum(-1)
        ends = w[..., 0] ** 2 + w[..., -1] ** 2
        return smoothness / 4 * ((ends + steps) / 2 - w[..., 0])

    minimizer = point(*(1 - i / (n + 1) for i in range(1, n + 1)))
    curvatures = (smoothness * math.sin(k * math.pi / (2 * n + 2)) ** 2 for k in range(1, n + 1))
    return Landscape(
        name="worst-case",
        loss=loss,
        start=point(*[0.0] * n),
        domain=((-0.5, 1.5),) * n,
        minimum=-smoothness / 8 * n / (n + 1),
        critical_points=(critical("minimum", minimizer, *curvatures),),
    )
