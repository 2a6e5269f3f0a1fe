r"""Surrogates of the 0-1 loss as functions phi of the margin m = y f(x), y in {-1, +1}.

    0-1               1 if m <= 0 else 0
    hinge             max(0, 1 - m)              support vector machines
    squared hinge     max(0, 1 - m)^2
    squared           (1 - m)^2 = (y - f)^2      least squares
    logistic          log(1 + e^-m)              cross-entropy of two classes
    exponential       e^-m                       boosting

All are convex and fall at m = 0, so a classifier that minimizes their risk minimizes the 0-1 risk,
in the limit of all data and all functions; `calibration` says by how much. psi is that promise in
closed form: psi(excess 0-1 risk) <= excess phi-risk.

Reference: Bartlett, Jordan & McAuliffe (2006), Convexity, classification, and risk bounds, JASA
101, theorem 1 and table 1. Their truncated quadratic is the squared hinge here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.optim.hyperparameters import nearest
from thalweg.training.losses.zero_one import margins


@dataclass(frozen=True)
class MarginLoss:
    """A surrogate as a loss of outputs and targets: the mean of phi over the margins.

    Attributes:
        name: of the loss.
        phi: from margins to losses, elementwise.
        psi: the psi-transform in closed form, of the excess 0-1 risk theta in [0, 1], elementwise.
    """

    name: str
    phi: Callable[[Tensor], Tensor]
    psi: Callable[[Tensor], Tensor]

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss; outputs and targets as for `margins`, several classes by their margin."""
        return self.phi(margins(outputs, targets)).mean()


def entropy_gap(theta: Tensor) -> Tensor:
    """log 2 less the entropy of (1 + theta) / 2: 1/2 sum over signs of (1 ± t) log(1 ± t)."""
    return (torch.xlogy(1 + theta, 1 + theta) + torch.xlogy(1 - theta, 1 - theta)) / 2


MARGIN_LOSSES: Mapping[str, MarginLoss] = {
    loss.name: loss
    for loss in (
        MarginLoss("hinge", lambda m: F.relu(1 - m), torch.abs),
        MarginLoss("squared hinge", lambda m: F.relu(1 - m).square(), torch.square),
        MarginLoss("squared", lambda m: (1 - m).square(), torch.square),
        MarginLoss("logistic", lambda m: F.softplus(-m), entropy_gap),
        MarginLoss("exponential", lambda m: torch.exp(-m), lambda t: 1 - (1 - t**2).sqrt()),
    )
}


def margin_loss(name: str) -> MarginLoss:
    """One of `MARGIN_LOSSES` by its name.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if name not in MARGIN_LOSSES:
        raise ValueError(f"margin_loss({name!r}): no such loss. {nearest(name, MARGIN_LOSSES)}")
    return MARGIN_LOSSES[name]
