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
from typing import Any, final

from torch import Tensor, nn
from torch.distributions import kl_divergence

from thalweg.operators.batches import Batch
from thalweg.operators.distributed import Group
from thalweg.operators.hessian import Hessian
from thalweg.operators.likelihood import (
    OfOutput,
    check_explains,
    check_smooth,
    known_likelihood,
    predicted,
    reduced,
)
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.problem import Loss, Problem, Selection, Term
from thalweg.operators.pulled_back import PSD, DifferentiatedLoss, LossOfOutput, PulledBack
from thalweg.operators.reduction import Reduction, reduction_of


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
        params: Selection = None,
        reduction: Reduction | None = None,
        samples: Callable[[Batch], float] | None = None,
        memory: float | None = None,
        check: bool = True,
        group: Group | None = None,
    ) -> ParameterOperator:
        """The true Fisher of all `data`, in the model's parameters.

        Args:
            model: in the mode (train or eval) that is meant; it is left as it is.
            loss: from the model's output and the targets to a scalar tensor; its distribution is
                known for the losses that `operators.likelihood` lists.
            data: one batch (inputs, targets), or a list or `DataLoader` of batches, weighted by
                their samples.
            likelihood: for other losses, from the model's output to a distribution over targets;
                the loss must be the mean (or sum) of -log p over its batch's entries.
            params: which parameters vary; None for all that require gradients.
            reduction: "mean" or "sum", what the loss does over a batch; None reads it from `loss`.
            samples: from a batch to the number of its samples, where its length is another.
            memory: bytes that may be kept for products; None for a quarter of what is free.
            check: see that the loss repeats itself, that the matrix is symmetric, and that the
                distribution explains the loss (the gradient is that of -log p).
            group: the processes whose data counts; by default those that train the model together.

        `Problem` says more on each.

        Raises:
            TypeError, ValueError: as `Problem` and the constructor; or the distribution behind the
                loss is not known; or the check failed.
        """
        known, kind = known_likelihood(loss, likelihood), reduction or reduction_of(loss)

        def make(term: Term) -> Fisher:
            fisher = cls(
                term.output,
                term.loss_of_output,
                known.distribution,
                term.params,
                reduction=kind,
                counted=known.counted(term.batch.targets),
            )
            if check and term.stream == 0:
                check_explains(known, fisher, term.batch.targets, kind)
            return fisher

        problem = Problem(
            model,
            loss,
            data,
            params=params,
            reduction=reduction,
            samples=samples,
            memory=memory,
            check=check,
            group=group,
        )
        return problem.operator(make, of_penalty=Hessian)

    @property
    def held(self) -> int:
        """Bytes of the kept graphs, beside the parameters."""
        return super().held + self._divergence.held

    def close(self) -> None:
        """Free the graphs; `loss` and `gradient` stay, products are refused from here on."""
        super().close()
        self._divergence.close()
