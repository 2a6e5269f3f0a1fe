r"""The Fisher information: how fast the model's predictive distribution turns with the parameters.

    F = mean over the data of  E_{y ~ p(. | x, w)} [ g g' ],    g = gradient of -log p(y | x, w)

The true Fisher takes the expectation in closed form, over what the model predicts; the data's own
targets do not enter. It is the second derivative of the divergence KL(p(w) || p(w + d)) at d = 0,
and that is how it is computed: J' K J with K the divergence's Hessian in the model's output. For
the losses whose output is the natural parameter (cross entropy, mse_loss, bce_with_logits, Poisson
with log-rates) it equals the Gauss-Newton matrix.

`MonteCarloFisher` draws targets from p instead, `EmpiricalFisher` takes the data's.

Martens, *New insights and perspectives on the natural gradient method* (arXiv 1412.1193), sections
5, 9 and 11; Amari, *Natural gradient works efficiently in learning* (1998).

Cost of a product: 4/3 of a gradient (`operators.linearization`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack, final

from torch import Tensor, nn
from torch.distributions import kl_divergence

from thalweg.operators.likelihood import (
    OfOutput,
    check_explains,
    check_smooth,
    known_likelihood,
    predicted,
    reduced,
)
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.penalty import penalty_hessian
from thalweg.operators.problem import Loss, Options, Problem, Term
from thalweg.operators.pulled_back import PSD, DifferentiatedLoss, LossOfOutput, PulledBack
from thalweg.operators.reduction import Reduction


@final
class Fisher(PulledBack):
    """The true Fisher of `likelihood` at `params`.

    Args:
        output: from named parameters to the model's output, of any structure. Called once.
        loss: from that output to a scalar tensor, for `loss` and `gradient` alone.
        likelihood: from the output to a `torch.distributions.Distribution` over targets.
        params: names to tensors; the values are copied.
        reduction: "mean" over the entries of the distribution's batch, or "sum".
        counted: which of these entries count, booleans of the batch's shape; None for all.

    Raises:
        TypeError: the likelihood gives no distribution.
        ValueError: the divergence of that distribution is not differentiable where it should be;
            else as `GaussNewton`.
        NotImplementedError: PyTorch does not know the divergence of such distributions.
    """

    def __init__(
        self,
        output: Callable[[dict[str, Tensor]], Any],
        loss: LossOfOutput,
        likelihood: OfOutput,
        params: Mapping[str, Tensor],
        *,
        reduction: Reduction = "mean",
        counted: Tensor | None = None,
    ) -> None:
        super().__init__("Fisher", output, loss, params, PSD)
        center = predicted(likelihood, self.linearization.rebuilt(self.linearization.outputs))
        check_smooth(center)

        def divergence(found: Any) -> Tensor:
            apart = kl_divergence(center, predicted(likelihood, found))
            return reduced(apart, reduction, counted)

        self.loss_of_output.close()
        self._divergence = DifferentiatedLoss(self.linearization, divergence)
        self.metric = self._divergence.hessian

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        loss: Loss,
        data: Any,
        *,
        likelihood: OfOutput | None = None,
        **options: Unpack[Options],
    ) -> ParameterOperator:
        """The true Fisher of all `data`, in the model's parameters.

        Args:
            model, loss, data: as `Hessian.of_model`; the loss's distribution is known for those
                that `operators.likelihood` lists.
            likelihood: for other losses, from the model's output to a distribution over targets;
                the loss must be the mean (or sum) of -log p over its batch's entries.
            options: `Problem`'s. A `penalty` is minus the log of a prior, whose Hessian is added
                once. The check also sees that the distribution explains the loss (the gradient is
                that of -log p).

        Raises:
            TypeError, ValueError: as `Problem` and the constructor; or the distribution behind the
                loss is not known; or the check failed.
        """
        known = known_likelihood(loss, likelihood)
        problem = Problem(model, loss, data, **options)

        def of_term(term: Term) -> Fisher:
            fisher = cls(
                term.output,
                term.loss_of_output,
                known.distribution,
                term.params,
                reduction=problem.reduction,
                counted=known.counted(term.batch.targets),
            )
            if problem.check:
                check_explains(known, fisher, term.batch.targets, problem.reduction)
            return fisher

        return problem.operator(of_term, of_penalty=penalty_hessian)

    @property
    def held(self) -> int:
        """Bytes of the kept graphs, beside the parameters."""
        return super().held + self._divergence.held

    def close(self) -> None:
        """Free the graphs; `loss` and `gradient` stay, products are refused from here on."""
        super().close()
        self._divergence.close()
