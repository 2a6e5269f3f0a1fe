r"""Intervals for a mean of samples: Student's, the bootstrap's, and for shares Wilson's and Clopper
and Pearson's.

    student           mean ± t sd / sqrt(n)              the normal interval for many samples
    bootstrap         quantiles of means of n samples drawn again from the n
    wilson            all shares p with |k/n - p| <= z sqrt(p (1 - p) / n)
    clopper-pearson   all shares under which k of n is not among the rare ones: never too short

Reference: Wilson (1927), JASA 22, 209-212; Clopper & Pearson (1934), Biometrika 26, 404-413;
Brown, Cai & DasGupta (2001), Statistical Science 16, 101-133; Efron & Tibshirani (1993), ch. 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import torch
from torch import Tensor

from thalweg.linalg.beta import beta_distribution
from thalweg.linalg.student import t_quantile
from thalweg.optim.hyperparameters import nearest

Interval = Literal["auto", "student", "bootstrap", "wilson", "clopper-pearson"]
DRAWS = 2000  # of the bootstrap
DRAWN_AT_ONCE = 4_000_000  # numbers, which bounds its memory
EXACT = 2.0**53


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        value: the mean over the samples.
        lower: the interval's lower end.
        upper: its upper end.
        confidence: share of data sets for which the interval holds the true mean, for samples that
            are independent and were not used to choose what is measured.
        samples: how many.
        interval: how the interval was made.
    """

    value: float
    lower: float
    upper: float
    confidence: float
    samples: int
    interval: str

    def __str__(self) -> str:
        """As a person would write it."""
        return f"{self.value:.4g} [{self.lower:.4g}, {self.upper:.4g}]"


def estimate(
    values: Tensor, *, interval: Interval = "auto", confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """The mean of samples with its interval.

    Args:
        values: one a sample, (n,).
        interval: "wilson" or "clopper-pearson" where all values are 0 or 1; "student" or
            "bootstrap"; "auto" is Wilson's for zeros and ones, and else Student's.
        confidence: of the interval.
        seed: of the bootstrap's draws.

    Raises:
        ValueError: an unknown interval, one for shares where there are none, a confidence outside
            (0, 1), or too few samples: none for a share, fewer than two for a mean.
    """
    values = values.detach().to("cpu", torch.float64).flatten()
    is_share = bool(((values == 0) | (values == 1)).all())
    name = ("wilson" if is_share else "student") if interval == "auto" else interval
    check(name, len(values), is_share, confidence)
    if name in SHARES:
        lower, upper = SHARES[name](round(values.sum().item()), len(values), confidence)
    elif name == "student":
        lower, upper = student(values, confidence)
    else:
        lower, upper = bootstrap(values, confidence, seed)
    return Estimate(values.mean().item(), lower, upper, confidence, len(values), name)


def check(name: str, count: int, is_share: bool, confidence: float) -> None:
    """Refuse what has no interval; see `estimate`."""
    if name not in INTERVALS:
        raise ValueError(f"interval={name!r}: no such interval. {nearest(name, INTERVALS)}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: give a share between 0 and 1.")
    if name in SHARES and not is_share:
        raise ValueError(
            f"interval={name!r}: it is for losses of 0 and 1; take 'student' or 'bootstrap'."
        )
    fewest = 1 if name in SHARES else 2
    if count < fewest:
        raise ValueError(f"interval={name!r}: {count} samples; it needs at least {fewest}.")


def student(values: Tensor, confidence: float) -> tuple[float, float]:
    """mean ± t sd / sqrt(n), with n - 1 degrees of freedom."""
    n, mean = len(values), values.mean().item()
    width = t_quantile(confidence, n - 1) * values.std().item() / math.sqrt(n)
    return mean - width, mean + width


def bootstrap(values: Tensor, confidence: float, seed: int) -> tuple[float, float]:
    """The percentile interval of means of samples that are drawn again."""
    n, generator = len(values), torch.Generator().manual_seed(seed)
    chunk = max(1, DRAWN_AT_ONCE // n)
    sizes = [min(chunk, DRAWS - done) for done in range(0, DRAWS, chunk)]
    means = [values[torch.randint(n, (size, n), generator=generator)].mean(1) for size in sizes]
    tail = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    lower, upper = torch.cat(means).quantile(tail).tolist()
    return lower, upper


def wilson(k: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval for a share that was seen k times in n."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, more = k / n, z * z / n
    middle = (share + more / 2) / (1 + more)
    width = math.sqrt(share * (1 - share) * more + more**2 / 4) / (1 + more)
    return (0.0 if k == 0 else middle - width), (1.0 if k == n else middle + width)


def clopper_pearson(k: int, n: int, confidence: float) -> tuple[float, float]:
    """The exact interval: quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k)."""
    tail = (1 - confidence) / 2
    lower = 0.0 if k == 0 else beta_quantile(tail, k, n - k + 1)
    upper = 1.0 if k == n else beta_quantile(1 - tail, k + 1, n - k)
    return lower, upper


def beta_quantile(chance: float, a: float, b: float) -> float:
    """The x below which a beta distribution has this chance."""
    low, high = 0.0, 1.0
    while high - low > 1 / EXACT:
        middle = (low + high) / 2
        if beta_distribution(middle, a, b) < chance:
            low = middle
        else:
            high = middle
    return (low + high) / 2


SHARES: dict[str, Callable[[int, int, float], tuple[float, float]]] = {
    "wilson": wilson,
    "clopper-pearson": clopper_pearson,
}
INTERVALS = ("auto", "student", "bootstrap", *SHARES)
