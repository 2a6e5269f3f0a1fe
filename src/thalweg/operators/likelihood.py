r"""The distribution of targets that a loss takes for granted.

Many losses are negative log-likelihoods: the loss is the mean (or sum) of

    -log p(target | output) + constant

over the entries of the target, where p is

    cross entropy, nll_loss     one of C classes, with the output as logits
    mse_loss                    Gaussian around the output, of variance 1/2
    bce_with_logits, bce        one of two classes, with the output as logit, as probability
    poisson_nll_loss            Poisson, with the output as log-rate (or rate)

The Fisher matrices are expectations over p. Weights of classes and label smoothing have no p.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Dirichlet,
    Distribution,
    Exponential,
    Gamma,
    Geometric,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
)
from torch.nn import functional as F

from thalweg.operators.convexity import kind_of
from thalweg.operators.pulled_back import DifferentiatedLoss, PulledBack
from thalweg.operators.reduction import Reduction, option

OfOutput = Callable[[Any], Distribution]

# Their divergence, as PyTorch computes it, is smooth where the two distributions are equal.
SMOOTH = (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Dirichlet,
    Exponential,
    Gamma,
    Geometric,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
)


@final
@dataclass(frozen=True)
class Likelihood:
    """A distribution of targets for every output.

    Attributes:
        distribution: from the model's output to a distribution whose batch has one entry for each
            term of the loss's mean or sum.
        ignored: the value of a target that does not count, if there is one.
    """

    distribution: OfOutput
    ignored: int | None = None

    def counted(self, targets: Any) -> Tensor | None:
        """Which entries count, as booleans of the batch's shape; None for all."""
        if self.ignored is None or not isinstance(targets, Tensor) or targets.is_floating_point():
            return None
        kept = targets != self.ignored
        return None if bool(kept.all()) else kept


def likelihood_of(loss: Any) -> Likelihood:
    """What `loss` takes for granted.

    Raises:
        ValueError: it is not a loss of the list above, or it has an option under which it is no
            log-likelihood.
    """
    kind = kind_of(loss)
    for kinds, make in KNOWN.items():
        if kind in kinds:
            check_options(loss)
            return make(loss)
    raise ValueError(
        f"Fisher: the distribution behind loss={loss!r} is not known. Pass likelihood=, a function "
        "from the model's output to a torch.distributions.Distribution; or take EmpiricalFisher "
        "or GaussNewton."
    )


def check_options(loss: Any) -> None:
    """Raise ValueError on an option under which a loss is no log-likelihood."""
    for name in ("weight", "pos_weight", "label_smoothing"):
        value = option(loss, name, None)
        if isinstance(value, Tensor) or value:
            raise ValueError(
                f"Fisher: loss has {name}={value}, and so is no negative log-likelihood. Pass "
                "likelihood= to say which distribution is meant, or take GaussNewton or "
                "EmpiricalFisher."
            )


def classes(logits: Tensor) -> Distribution:
    """One of C classes for every entry; classes lie on axis 1, or on the only one."""
    last = logits.movedim(1, -1) if logits.dim() > 1 else logits
    return Categorical(logits=last, validate_args=False)


def of_classes(loss: Any) -> Likelihood:
    """Of cross entropy, and of the negative log-likelihood of log-probabilities."""
    return Likelihood(classes, option(loss, "ignore_index", -100))


def gaussian(mean: Tensor) -> Distribution:
    """-log p = (y - mean)^2 + constant."""
    return Normal(mean, torch.full_like(mean, 0.5**0.5), validate_args=False)


def two_classes(logits: Tensor) -> Distribution:
    """1 or 0."""
    return Bernoulli(logits=logits, validate_args=False)


def two_probabilities(probabilities: Tensor) -> Distribution:
    """1 or 0."""
    return Bernoulli(probabilities, validate_args=False)


def counts(output: Tensor, *, log_input: bool) -> Distribution:
    """0, 1, 2, ..."""
    return Poisson(output.exp() if log_input else output, validate_args=False)


def of_counts(loss: Any) -> Likelihood:
    """Of the Poisson loss."""
    return Likelihood(partial(counts, log_input=option(loss, "log_input", True)))


KNOWN: dict[tuple[Any, ...], Callable[[Any], Likelihood]] = {
    (nn.CrossEntropyLoss, F.cross_entropy, nn.NLLLoss, F.nll_loss): of_classes,
    (nn.MSELoss, F.mse_loss): lambda loss: Likelihood(gaussian),
    (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits): lambda loss: Likelihood(
        two_classes
    ),
    (nn.BCELoss, F.binary_cross_entropy): lambda loss: Likelihood(two_probabilities),
    (nn.PoissonNLLLoss, F.poisson_nll_loss): of_counts,
}


def known_likelihood(loss: Any, given: OfOutput | None) -> Likelihood:
    """The likelihood that was given, or else the one behind `loss`; see `likelihood_of`."""
    return likelihood_of(loss) if given is None else Likelihood(given)


def predicted(likelihood: OfOutput, output: Any) -> Distribution:
    """The distribution for an output.

    Raises:
        TypeError: what `likelihood` gives is none.
    """
    found = likelihood(output)
    if not isinstance(found, Distribution):
        raise TypeError(
            f"likelihood(output) returned a {type(found).__name__}; return a "
            "torch.distributions.Distribution over the targets."
        )
    return found


def reduced(values: Tensor, reduction: Reduction, counted: Tensor | None) -> Tensor:
    """The mean or the sum of the entries that count."""
    kept = values if counted is None else values[counted]
    return kept.mean() if reduction == "mean" else kept.sum()


def check_smooth(distribution: Distribution) -> None:
    """Refuse a distribution whose divergence from others has no second derivative to rely on.

    Raises:
        ValueError: it is not one of `SMOOTH`, nor `Independent` over one of them.
    """
    inner = distribution
    while isinstance(inner, Independent):
        inner = inner.base_dist
    if type(inner) not in SMOOTH:
        raise ValueError(
            f"Fisher: the divergence between two {type(inner).__name__} distributions is not known "
            "to be smooth where they are equal, so the expectation cannot be taken in closed form. "
            "Use MonteCarloFisher, which draws from the distribution."
        )


def check_explains(
    known: Likelihood, operator: PulledBack, targets: Any, reduction: Reduction
) -> None:
    """Compare the loss's gradient in the parameters with that of -log p at the data's targets.

    Raises:
        ValueError: they differ, or the distribution has no density at the targets.
    """
    if not isinstance(targets, Tensor) or soft(known, targets):
        return
    counted = known.counted(targets)
    safe = targets if counted is None else torch.where(counted, targets, 0)

    def surprise(output: Any) -> Tensor:
        return reduced(-predicted(known.distribution, output).log_prob(safe), reduction, counted)

    check_density(known, operator, safe)
    loss = DifferentiatedLoss(operator.linearization, surprise)
    expected = operator.linearization.pull(loss.gradient)
    difference = float((expected - operator.gradient).norm())
    scale = float(expected.norm() + operator.gradient.norm())
    unit = max(torch.finfo(dtype).eps for dtype in operator.layout.dtypes)
    if not difference <= unit**0.5 * scale:
        raise ValueError(
            f"{operator.name}: the loss is not -log p of its likelihood: their gradients differ by "
            f"{difference / scale:.3g} of their size. The loss must be the {reduction} of -log p "
            "over the entries of the distribution; pass the likelihood= that it stands for, or "
            "take GaussNewton. check=False takes it as it is."
        )


def check_density(known: Likelihood, operator: PulledBack, targets: Tensor) -> None:
    """Raise ValueError unless the distribution can say how likely the data's targets are."""
    kept = operator.linearization
    try:
        predicted(known.distribution, kept.rebuilt(kept.outputs)).log_prob(targets)
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(
            f"{operator.name}: likelihood(output).log_prob(targets) failed ({error}). The "
            "likelihood must be one of the data's targets; check=False does not try."
        ) from error


def soft(known: Likelihood, targets: Tensor) -> bool:
    """Whether targets are probabilities of classes, which have no density of their own."""
    return known.ignored is not None and targets.is_floating_point()
