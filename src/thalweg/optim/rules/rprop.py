r"""Rprop: every coordinate has a step size of its own, which only the gradient's sign moves.

Idea: the size of a partial derivative says little about how far to go; whether its sign changed
says all. While it stays, lengthen the step; where it changed, a minimum was jumped over: shorten.

Formula:

    sign stayed, g g_prev > 0:             step <- up step,   p <- p - sign(g) step
    sign changed, g g_prev < 0:            step <- down step, p stays, and g_prev <- 0
    one of them zero:                      p <- p - sign(g) step

with (down, up) = etas; step starts at lr and stays between the two step_sizes.

Why: steps are invariant to the loss's scale, even to any monotone rescaling of each derivative, and
grow geometrically on plateaus.

When: full-batch training of small networks, where it is fast and needs no tuning. Never with
minibatches: a sign that changes by noise shortens every step.

Convention: `convention="torch"` is as above, PyTorch's operation by operation: iRprop- of Igel &
Huesken, which after a change of sign stays where it is. "paper" is Riedmiller & Braun's: it takes
the last step back. (optax, up to 0.2.8 at least, makes every step of iRprop- one gradient late,
which is no option here.) lr is the first step size (the paper's 0.1) and has no effect afterwards.

Reference: Riedmiller & Braun (1993), section II; Igel & Huesken (2000) for the names Rprop+ (here
"paper") and iRprop- (here "torch").
"""

from collections.abc import Mapping
from typing import Any

from torch import addcmul, clamp, sign, where

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import rule, slot
from thalweg.optim.starts import filled

define(
    "etas",
    "by how much a step shrinks when the gradient's sign changes, and grows when it stays",
    "a pair of numbers, one in (0, 1) and one above 1",
    length=2,
)
define(
    "step_sizes",
    "the smallest and the largest step",
    "a pair of numbers >= 0",
    lambda x: bool(x >= 0),
    "Invalid step size at index {index}",
    length=2,
)


def _down_is_down(hyper: Mapping[str, Any]) -> None:
    down, up = hyper["etas"]
    if not 0 < down < 1 < up:
        raise ValueError(
            f"Invalid eta values: {down}, {up}. etas=({down}, {up}) must shrink and grow: one "
            "number in (0, 1), then one above 1, such as (0.5, 1.2)."
        )


@rule(
    "pointwise", "odd", "loss-scale-invariant", check=_down_is_down,
    terms=[GLOSSARY["convention"].among("torch", "paper")],
)  # fmt: skip
def rprop(  # type: ignore[no-untyped-def]
    p, g, g_prev=slot("prev"), step=slot("step_size", lambda p, *, lr: filled(p, lr)),
    *, t, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0), convention="torch",
):  # fmt: skip
    """One step of Rprop."""
    down, up = etas
    s = sign(g * g_prev)
    back = sign(g_prev) * step  # the last step, where one was made
    step = clamp(step * where(s > 0, up, where(s < 0, down, s + 1)), *step_sizes)
    g = where(s < 0, 0.0, g)
    if convention == "paper":
        return p - where(s < 0, -back, sign(g) * step), g, step
    return addcmul(p, sign(g), step, value=-1), g, step
