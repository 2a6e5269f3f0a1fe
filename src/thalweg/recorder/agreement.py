"""Whether targets belong to their inputs: how well near examples agree, against chance.

Two predictors that need no training answer it, each without the example it is asked about: the vote
(mean) of the 5 nearest neighbours in standardized inputs, and ridge regression over 5 folds. What
they explain of the targets (of numbers: of their ranks) is compared with what they explain of the
same targets dealt out at random: the p-value is the share of random deals that are explained as
well, doubled since the better of two predictors counts. Both miss some kinds of dependence (parity,
a pattern that may be anywhere), so that finding none proves nothing by itself.

Cover & Hart, Nearest neighbor pattern classification (1967); Good, Permutation tests (2000).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

NEAREST, MAJORITY, FOLDS, DEALS = 5, 4, 5, 99
FEWEST = 60  # examples, from which anything is told
Predictor = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Agreement:
    """How targets agree with their inputs.

    Attributes:
        examples: How many different ones.
        classes: Of the targets; 0 for a regression.
        explained: The share of the targets' (ranks') variance that the better predictor explains.
        chance: The same, in the mean over random deals of the targets.
        p: The probability of so much by chance.
        contradicted: The share of examples of which at least 4 of the 5 nearest have one other
            class; 0 for a regression.
    """

    examples: int
    classes: int
    explained: float
    chance: float
    p: float
    contradicted: float


def agreement(inputs: torch.Tensor, targets: torch.Tensor, seed: int = 0) -> Agreement | None:
    """How the targets of examples agree with their inputs; None for too few or equal ones.

    Args:
        inputs: Shape (n, features), one example a row; of equal rows the first counts.
        targets: Shape (n,) for classes (whole numbers), (n, outputs) for numbers.
        seed: Of the random deals.
    """
    kept = _first_of_equals(inputs)
    x, y = _standardized(inputs[kept].double()), targets[kept]
    wanted, classes = _one_hot(y)
    if len(x) < FEWEST or not x.isfinite().all() or not wanted.isfinite().all():
        return None
    wanted = wanted - wanted.mean(0)
    if not x.any() or not wanted.any():
        return None
    near = nearest(x)
    both = [by_neighbours(near), by_ridge(x)]
    best = max((chances(one, wanted, seed) for one in both), key=lambda found: -found[2])
    votes = y[near] if classes else None
    against = 0.0 if votes is None else _contradicted(votes, y)
    return Agreement(len(x), classes, best[0], best[1], min(1.0, 2 * best[2]), against)


def _first_of_equals(inputs: torch.Tensor) -> torch.Tensor:
    """Where each different row stands first."""
    _, which = torch.unique(inputs, dim=0, return_inverse=True)
    order = torch.arange(len(inputs) - 1, -1, -1)
    first = torch.zeros(int(which.max()) + 1 if len(which) else 0, dtype=torch.int64)
    first[which[order]] = order
    return first.sort().values


def _standardized(inputs: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit deviation by feature; constant features are zero."""
    centered = inputs - inputs.mean(0)
    return centered / centered.square().mean(0).sqrt().clamp_min(1e-12)


def _one_hot(targets: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Targets as numbers, a column each, and how many classes they name."""
    if targets.is_floating_point():
        return _standardized(_ranks(targets.double().reshape(len(targets), -1))), 0
    labels, which = torch.unique(targets, return_inverse=True)
    return torch.nn.functional.one_hot(which, len(labels)).double(), len(labels)


def _ranks(numbers: torch.Tensor) -> torch.Tensor:
    """By column, equal numbers alike: a few that are far off must not hide what the others tell."""
    columns = [torch.unique(one, return_inverse=True)[1] for one in numbers.T]
    ranks = torch.stack(columns, 1).double()
    return torch.where(numbers.isfinite(), ranks, torch.nan)


def nearest(inputs: torch.Tensor) -> torch.Tensor:
    """The nearest other examples of each, shape (n, 5)."""
    distances = torch.cdist(inputs, inputs).fill_diagonal_(torch.inf)
    return distances.topk(NEAREST, largest=False).indices


def by_neighbours(near: torch.Tensor) -> Predictor:
    """The mean target of the nearest other examples."""
    return lambda targets: targets[near].mean(1)


def by_ridge(inputs: torch.Tensor) -> Predictor:
    """Ridge regression on the other folds, with as much penalty as there is data in a feature."""
    n = len(inputs)
    gram, fold = inputs @ inputs.T, torch.arange(n) * FOLDS // n
    fold = fold[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
    weights = torch.zeros(n, n, dtype=inputs.dtype)
    for at in range(FOLDS):
        out, kept = (fold == at).nonzero()[:, 0], (fold != at).nonzero()[:, 0]
        own = gram[kept][:, kept]
        penalty = float(own.diagonal().mean()) * torch.eye(len(kept), dtype=own.dtype)
        weights[out[:, None], kept] = torch.linalg.solve(own + penalty, gram[kept][:, out]).T
    return lambda targets: weights @ targets


def chances(predict: Predictor, targets: torch.Tensor, seed: int) -> tuple[float, float, float]:
    """What is explained, the mean of that over random deals, and the share of deals as good."""
    random = torch.Generator().manual_seed(seed)
    found = explained(predict, targets)
    dealt = [
        explained(predict, targets[torch.randperm(len(targets), generator=random)])
        for _ in range(DEALS)
    ]
    as_good = sum(one >= found for one in dealt)
    return found, sum(dealt) / DEALS, (1 + as_good) / (1 + DEALS)


def explained(predict: Predictor, targets: torch.Tensor) -> float:
    """The share of the variance of centered targets that a prediction explains; may be negative."""
    return 1 - float((targets - predict(targets)).square().sum() / targets.square().sum())


def _contradicted(votes: torch.Tensor, own: torch.Tensor) -> float:
    """The share of examples whose neighbours agree with one another and not with it."""
    middle = votes.sort(1).values[:, NEAREST // 2]
    agree = (votes == middle[:, None]).sum(1) >= MAJORITY
    return float((agree & (middle != own)).double().mean())
