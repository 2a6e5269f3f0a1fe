r"""The gradient noise scale: the batch size beyond which more samples hardly help.

The gradient of a minibatch of B samples is the gradient G of all data plus noise of covariance
Sigma / B. The noise is as long as the gradient itself at

    B_noise = tr(Sigma) / |G|^2,

so batches much smaller only average noise, and batches much larger only repeat what is known.
McCandlish et al., *An empirical model of large-batch training* (arXiv 1812.06162), their B_simple.

From the gradients g_b of K batches of n_b samples, N in all, with the mean g = sum n_b g_b / N:

    tr(Sigma) ~ T = sum n_b |g_b - g|^2 / (K - 1)          |G|^2 ~ M = |g|^2 - T / N

Both are unbiased. Their ratio is not, and where |G|^2 is not told apart from zero it has no upper
end. So the interval is Fieller's (*J. R. Stat. Soc. B* 16, 1954): all r for which T - r M is within
its own error of zero, that error by the jackknife that leaves out one batch at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.linalg.student import t_quantile
from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.layout import Layout
from thalweg.operators.problem import Problem, Term

FEWEST = 4  # batches, from which an error can be told


@final
@dataclass(frozen=True)
class NoiseScale:
    """How noisy minibatch gradients are.

    Attributes:
        value: B_noise in samples; infinite where the estimate of |G|^2 is not positive.
        lower: the interval's lower end.
        upper: its upper end; infinite where the data does not tell |G|^2 apart from zero.
        confidence: share of data sets for which the interval holds the true value.
        variance: T, the trace of the covariance of one sample's gradient.
        gradient_squared: M, the estimate of |G|^2; may be negative.
        batches: K.
        samples: N.
    """

    value: float
    lower: float
    upper: float
    confidence: float
    variance: float
    gradient_squared: float
    batches: int
    samples: float

    def standard_error(self, batch_size: float) -> float:
        """Of a minibatch's gradient as a vector, sqrt(tr(Sigma) / B)."""
        return math.sqrt(self.variance / batch_size)

    def relative_error(self, batch_size: float) -> float:
        """The standard error over |G|; infinite where |G| is not told apart from zero."""
        if self.gradient_squared <= 0:
            return math.inf
        return self.standard_error(batch_size) / math.sqrt(self.gradient_squared)

    def __str__(self) -> str:
        """As a person would write it."""
        return f"gradient noise scale {self.value:.4g} [{self.lower:.4g}, {self.upper:.4g}] samples"


@dataclass(frozen=True)
class Moments:
    """What the estimates are made of, one entry a batch: sizes n_b, |g_b|^2, and g_b . g."""

    sizes: Tensor
    squares: Tensor
    along: Tensor
    mean_squared: float


def noise_scale(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    data: Any,
    *,
    pieces: int = 32,
    confidence: float = 0.95,
    **options: Any,
) -> NoiseScale:
    """The gradient noise scale of a model's loss over data.

    Args:
        model: in the mode whose loss is meant; it is left as it is. Batch normalization in train
            mode takes each batch's own statistics, which then are part of the noise.
        loss: from output and targets to a scalar.
        data: batches, a list or a loader; one batch (inputs, targets) is cut into `pieces` along
            its first axis. Samples must be in random order: sorted ones make batches differ.
        pieces: into how many parts one batch is cut, at the most.
        confidence: of the interval.
        options: `params`, `reduction` and `samples`, as `Hessian.of_model` takes them.

    Raises:
        TypeError: as `Hessian.of_model`.
        ValueError: fewer than 4 batches, or an argument out of its domain.

    Cost: two gradients a sample. Memory: two gradients.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"noise_scale(confidence={confidence}): give a share between 0 and 1.")
    if isinstance(data, tuple) and len(data) == 2:
        data = cut(data, pieces)
    problem = Problem(model, loss, data, check=False, **options)
    if len(problem.batches) < FEWEST:
        raise ValueError(
            f"noise_scale: {len(problem.batches)} batches do not show how gradients differ; give "
            f"at least {FEWEST}, or one batch of {FEWEST} samples or more to be cut."
        )
    moments = moments_of(problem)
    return estimated(moments, confidence)


def cut(batch: tuple[Any, Any], pieces: int) -> list[tuple[Any, Any]]:
    """A batch in up to `pieces` parts along its first axis."""
    if pieces < FEWEST:
        raise ValueError(f"noise_scale(pieces={pieces}): give at least {FEWEST}.")
    first = next(x for x in tree_leaves(batch) if isinstance(x, Tensor))
    length = first.shape[0] if first.dim() else 1
    edges = [length * i // pieces for i in range(pieces + 1)]
    spans = [slice(a, b) for a, b in pairwise(edges) if a < b]

    def part(span: slice) -> Callable[[Any], Any]:
        return lambda x: x[span] if isinstance(x, Tensor) and x.dim() else x

    return [tree_map(part(span), batch) for span in spans]


def moments_of(problem: Problem) -> Moments:
    """Two passes over the data: the mean gradient, then each batch's against it."""
    layout = Layout.of(problem.params)
    mean, total = torch.zeros(layout.size, dtype=torch.float64), 0.0
    for size, gradient in batch_gradients(problem, layout):
        mean += size * gradient
        total += size
    mean /= total
    rows = [(size, float(g @ g), float(g @ mean)) for size, g in batch_gradients(problem, layout)]
    sizes, squares, along = torch.tensor(rows, dtype=torch.float64).unbind(1)
    return Moments(sizes, squares, along, float(mean @ mean))


def batch_gradients(problem: Problem, layout: Layout) -> Iterator[tuple[float, Tensor]]:
    """Each batch's samples and the gradient of their mean loss, flat, float64, on the CPU."""
    summed = problem.batches.reduction == "sum"
    for _, term in problem.terms():
        share = 1 / term.samples if summed else 1.0
        yield float(term.samples), share * gradient_of(term, layout)


def gradient_of(term: Term, layout: Layout) -> Tensor:
    """The gradient of a batch's loss."""
    with twice_differentiable():
        variables = term.params.variables()
        found = torch.autograd.grad(
            term.loss(variables), list(variables.values()), materialize_grads=True
        )
    gradient = layout.flatten(dict(zip(variables, found, strict=True)))
    return gradient.detach().to("cpu", torch.float64)


def estimated(moments: Moments, confidence: float) -> NoiseScale:
    """The estimates from the moments, with Fieller's interval."""
    n, k = moments.sizes, len(moments.sizes)
    total, spread = float(n.sum()), float(n @ moments.squares)
    t, m = both(spread, moments.mean_squared, total, k)
    # the same with one batch left out
    rest = total - n
    mean_squared = (
        total**2 * moments.mean_squared - 2 * total * n * moments.along + n**2 * moments.squares
    ) / rest**2
    ts, ms = both(spread - n * moments.squares, mean_squared, rest, k - 1)
    covariance = (k - 1) ** 2 / k * torch.cov(torch.stack([ts, ms]))
    lower, upper = fieller(t, m, covariance, t_quantile(confidence, k - 1))
    value = t / m if m > 0 else math.inf
    return NoiseScale(value, lower, upper, confidence, t, m, k, total)


def both(spread: Any, mean_squared: Any, total: Any, count: int) -> tuple[Any, Any]:
    """(T, M) from sum n_b |g_b|^2, |g|^2, N and K."""
    t = (spread - total * mean_squared) / (count - 1)
    return t, mean_squared - t / total


def fieller(t: float, m: float, covariance: Tensor, quantile: float) -> tuple[float, float]:
    """The r >= 0 with |t - r m| <= quantile * its standard error, as an interval.

    They solve a r^2 - 2 b r + c <= 0. Where a <= 0 they have no upper end: then m is not told apart
    from 0.
    """
    tt, tm, mm = (float(covariance[i, j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    q = quantile**2
    a, b, c = m * m - q * mm, t * m - q * tm, t * t - q * tt
    inside = b * b - a * c
    if a > 0:
        root = math.sqrt(max(inside, 0.0))
        return max(0.0, (b - root) / a), max(0.0, (b + root) / a) if m > 0 else math.inf
    if inside <= 0:
        return 0.0, math.inf
    root = math.sqrt(inside)
    ends = sorted(((b - root) / a, (b + root) / a)) if a < 0 else [c / (2 * b)] * 2
    positive = [r for r in ends if r > 0]
    return (positive[0] if c > 0 and positive else 0.0), math.inf
