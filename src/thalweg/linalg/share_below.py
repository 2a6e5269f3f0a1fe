r"""How much of a vector lies along eigenvalues below a point: bounds, from a Krylov space.

For a unit vector b, mu(x) = |P b|^2, P the projector on the eigenvectors with eigenvalues below x,
is a distribution on the spectrum, and T = V' A V from the start b knows its first 2m moments. Of
all distributions with these moments, the quadrature with a node at x itself gives the sharpest
bounds (A. Markov & T. Stieltjes; G. Golub & G. Meurant, *Matrices, Moments and Quadrature*, 2010):

    sum of the weights below x  <=  mu(x)  <=  the same + the weight at x.

That quadrature (Gauss-Radau) has the nodes and weights of T bordered by one more row, whose
diagonal entry makes x an eigenvalue: x + c'(T - x)^-1 c, with c the coupling of the next vector.
"""

import math

import torch
from torch import Tensor

from thalweg.linalg.krylov import Krylov, Ritz


def share_below(krylov: Krylov, x: float) -> tuple[float, float]:
    """Bounds on the share of the start vector that lies along eigenvalues below `x`.

    `krylov` has grown from a start without a compression. Where the space was closed in between,
    what came after has no part in the start, and the bounds meet.
    """
    ritz = krylov.ritz()
    weights = ritz.weights[0].square()
    if krylov.closures:
        share = float(weights[ritz.values < x].sum())
        return share, share
    entry = float((krylov.coupling @ ritz.weights).square().div(ritz.values - x).sum())
    if not math.isfinite(entry):  # x is a Ritz value already
        return between_nodes(ritz.values, weights, x)
    return at_a_node(*bordered(krylov, ritz, x + entry), x)


def bordered(krylov: Krylov, ritz: Ritz, entry: float) -> tuple[Tensor, Tensor]:
    """Nodes, ascending, and weights of the bordered matrix's quadrature, shape (m + 1,) each."""
    edge = (krylov.coupling @ ritz.weights)[:, None]
    corner = torch.full((1, 1), entry, dtype=torch.float64)
    upper = torch.cat([torch.diag(ritz.values), edge], 1)
    nodes, vectors = torch.linalg.eigh(torch.cat([upper, torch.cat([edge.T, corner], 1)]))
    first = torch.cat([ritz.weights[0], torch.zeros(1, dtype=torch.float64)])
    return nodes, (first @ vectors).square()


def at_a_node(nodes: Tensor, weights: Tensor, x: float) -> tuple[float, float]:
    """The bounds where `x` is one of the nodes, but for rounding."""
    i = int((nodes - x).abs().argmin())
    below = float(weights[:i].sum())
    return below, below + float(weights[i])


def between_nodes(nodes: Tensor, weights: Tensor, x: float) -> tuple[float, float]:
    """The bounds where `x` lies between two nodes, of any quadrature of Gauss' degree.

    The weights up to the node below x, without that node's own, and up to the node above, with it.
    """
    i = int((nodes < x).sum())
    return float(weights[: max(i - 1, 0)].sum()), float(weights[: i + 1].sum())
