"""A problem that is watched while a minimizer works on it: evaluations counted, the end noted.

A problem is solved at the first point evaluated where

    |g|_inf  <=  1e-6 (1 + |f|)

whether or not the minimizer notices; a run is ended there, or when its evaluations are spent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

RELATIVE = 1e-6


@dataclass(frozen=True)
class Problem:
    """A function to be minimized.

    Attributes:
        name: for tables.
        start: shape (n,), float64.
        function: from an array of that shape to a float and the gradient, shape (n,).
    """

    name: str
    start: np.ndarray
    function: Callable[[np.ndarray], tuple[float, np.ndarray]]


class Ended(Exception):
    """The problem is solved, or the evaluations are spent."""


class Watched:
    """A problem as minimizers are handed it.

    Attributes:
        taken: evaluations so far.
        solved_at: the evaluation that solved it; None so far.
        value: the loss there.
    """

    def __init__(self, problem, most):
        self.problem, self.most = problem, most
        self.taken, self.solved_at, self.value = 0, None, math.nan

    def __call__(self, x):
        """Value and gradient, as numpy has them."""
        if self.taken >= self.most:
            raise Ended
        self.taken += 1
        value, gradient = self.problem.function(np.array(x, dtype=np.float64))
        if self.is_solved(value, gradient):
            self.solved_at, self.value = self.taken, value
            raise Ended
        return value, gradient

    def is_solved(self, value, gradient):
        return np.abs(gradient).max() <= RELATIVE * (1 + abs(value))

    def with_tensors(self, x):
        """The same, as torch has them."""
        value, gradient = self(x.detach().numpy())
        return torch.tensor(value, dtype=torch.float64), torch.from_numpy(gradient.copy())

    def differentiable(self, x):
        """A scalar tensor that autograd differentiates by the problem's own gradient."""
        return Differentiable.apply(x, self)

    @property
    def start(self):
        return torch.from_numpy(self.problem.start.copy())


class Differentiable(torch.autograd.Function):
    """Value forward, and backward the gradient that came with it."""

    @staticmethod
    def forward(ctx, x, watched):
        value, gradient = watched.with_tensors(x)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx, upstream):
        return upstream * ctx.saved_tensors[0], None
