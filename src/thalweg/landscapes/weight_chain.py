"""LeCun's 1-1-1 network: the smallest network whose loss is not convex, and its deeper kin.

The network multiplies its one input by one weight after the other and is trained to give back the
input 1. Whatever the depth, the minimizers form a continuum (the weights' product is 1: for two
weights a hyperbola), a saddle stands at the origin, and it gets the flatter the deeper the network:
the gradient by one weight is in proportion to the product of all the others, so it vanishes for
small weights and explodes for large ones.

Reference: LeCun (2020), *Optimization*, Deep Learning course at NYU ("1-1-1 network"); Saxe,
McClelland & Ganguli (2014), arXiv 1312.6120, section 2.
"""

import torch
from torch import Tensor

from thalweg.landscapes.landscape import Landscape, critical, point


def one_one_one() -> Landscape:
    """LeCun's network of two weights: f(w1, w2) = (1 - w1 w2)^2.

    The minimizers are the hyperbola w1 w2 = 1, with curvatures 0 along it and 2 (w1^2 + w2^2)
    across: the balanced solution (1, 1) is the flattest, with 4. The saddle at the origin has
    curvatures 2 and -2.
    """
    lopsided = point(2.0, 0.5)
    chain = weight_chain(2)
    return Landscape(
        name="one-one-one",
        loss=chain.loss,
        start=chain.start,
        domain=chain.domain,
        minimum=chain.minimum,
        critical_points=(*chain.critical_points, critical("minimum", lopsided, 0.0, 8.5)),
        isolated=False,
    )


def weight_chain(depth: int = 5) -> Landscape:
    """A network of `depth` weights in a row: f(w) = (1 - w_1 w_2 ... w_n)^2.

    At (1, ..., 1) the curvatures are 2 n once and else 0. At the origin the Hessian is zero for
    three weights or more, and the first derivative that is not is the n-th.

    Args:
        depth: n, at least 2.

    Raises:
        ValueError: Fewer than two weights; with one the loss is a parabola.
    """
    if depth < 2:
        raise ValueError(
            f"weight_chain(depth={depth}): a chain has two weights or more; with one the loss is "
            "the parabola quadratic((2.0,)), moved by 1."
        )

    def loss(w: Tensor) -> Tensor:
        return (1 - w.prod(-1)) ** 2

    ones = torch.ones(depth, dtype=torch.float64)
    other = torch.cat([-ones[:2], ones[2:]])  # two signs turned: the product is the same
    flat = [0.0] * (depth - 1)
    at_origin = [-2.0, 2.0] if depth == 2 else [0.0] * depth
    return Landscape(
        name="weight-chain",
        loss=loss,
        start=point(0.5, *[0.1] * (depth - 1)),
        domain=((-2.5, 2.5),) * depth,
        minimum=0.0,
        critical_points=(
            critical("saddle", torch.zeros_like(ones), *at_origin),
            critical("minimum", ones, *flat, 2.0 * depth),
            critical("minimum", other, *flat, 2.0 * depth),
        ),
        isolated=False,
    )
