r"""Coordinate descent: one coordinate at a time.

Idea: along a single axis descent is simple. Take one coordinate, of all that the parameters have
together, and move it alone.

Formula:

    p_i <- p_i - lr g_i                    for one i, all others stay

`selection="cyclic"` takes i = 1, 2, ... in turn, "random" any i with equal chance, "greedy" the one
whose |g_i| is largest (Gauss-Southwell).

Why: with lr below 2 over the largest curvature along an axis, which may be far below that along any
direction, every step descends. Random choice needs no more coordinate steps on average than full
descent needs gradient entries; the greedy one is never worse, and better where few matter.

When: a single partial derivative is much cheaper than the gradient, or coordinates hardly depend on
each other. By backpropagation all partial derivatives cost the same, so that on networks this
teaches rather than trains.

Convention: coordinates are counted over all parameters that have a gradient, group after group; the
turn is the first parameter's count of steps, and a random choice depends on seed and turn alone, so
that a run resumed goes on as it would have. Of equal |g_i| the first is taken. lr is one for all
coordinates; the step to the exact minimum along the axis would be lr = 1 / curvature.

Reference: Wright (2015), arXiv 1502.04759, algorithms 1 to 3; Nesterov (2012) for the random
choice; Nutini et al. (2015), arXiv 1506.00552, for the greedy one.
"""

import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import over_all, rule, slot

define("selection", "which coordinate moves", choices=("cyclic", "random", "greedy"))
define("seed", "what the random choice starts from", "a number")


def _chosen(
    g: Sequence[Tensor], first: Sequence[Tensor], *, t: float, selection: str, seed: float
) -> int:
    """The coordinate that moves, counted over all parameters; -1 if there is none."""
    sizes = [x.numel() for x in g]
    total, turn = sum(sizes), int(t) - 1
    if not total:
        return -1
    if selection == "greedy":
        at = _largest(g)
    elif selection == "random":
        at = random.Random(f"{seed} {turn}").randrange(total)
    else:
        at = turn % total
    ends = list(accumulate(sizes))
    index = bisect_right(ends, at)  # the parameter in which it lies
    return int(first[index]) + at - (ends[index] - sizes[index])


def _largest(g: Sequence[Tensor]) -> int:
    """Where the largest |g_i| stands among those that have a gradient."""
    return int(torch.cat([x.detach().flatten().abs().cpu() for x in g]).argmax())


@rule("odd")
def coordinate_descent(  # type: ignore[no-untyped-def]
    p, g, first=slot("first", lambda p, *, offset: torch.tensor(offset)),
    *, t, chosen=over_all(_chosen), lr=1e-2, selection="cyclic", seed=0,
):  # fmt: skip
    """One step along one coordinate."""
    here = torch.arange(p.numel(), device=p.device).view(p.shape) == chosen - int(first)
    return torch.where(here, p - lr * g, p), first
