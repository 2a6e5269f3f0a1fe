r"""The empirical Fisher: the second moment of the samples' gradients at the data's own targets.

    E = 1/N sum_n g_n g_n',      g_n = gradient of sample n's loss

It is no approximation of the Fisher away from a good fit, since its targets are not drawn from the
model: Kunstner, Balles & Hennig, *Limitations of the empirical Fisher approximation for natural
gradient descent* (arXiv 1905.12558). It is what adaptive optimizers and influence functions use,
and 1/N sum_n g_n g_n' - g g' is the covariance of the gradient's noise (`GradientCovariance`).

Cost of a product: 4/3 of a gradient (`operators.sample_gradients`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from torch import Tensor, nn

from thalweg.operators.batches import Batch, samples_of
from thalweg.operators.distributed import Group
from thalweg.operators.hessian import Hessian
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.problem import Loss, Problem, Selection, Term
from thalweg.operators.pulled_back import PSD, LossOfOutput
from thalweg.operators.reduction import Reduction, reduction_of
from thalweg.operators.sample_gradients import Frame, SampleRows, SecondMoment, check_separate


@final
class EmpiricalFisher(SecondMoment):
    """1/T sum_n g_n g_n' at `params`; for a loss that is a sum, sum_n g_n g_n'.

    Args:
        output: from named parameters to the model's output, of any structure, with samples on the
            first axis of each of its tensors. Called once.
        loss: from that output to a scalar tensor: the mean, or sum, of the samples' losses.
        params: names to tensors; the values are copied.
        reduction: "mean" or "sum", what the loss does.
        samples: N, where rows of the output belong to samples in runs; None for one row each.
        total: T, what the mean was taken over; None for N. A sample's loss is T times its share
            of the mean.
        check: see that the loss does not couple samples.

    Raises:
        ValueError: the loss couples samples, or the output's first axis does not hold them; else
            as `GaussNewton`.
    """

    def __init__(
        self,
        output: Callable[[dict[str, Tensor]], Any],
        loss: LossOfOutput,
        params: Mapping[str, Tensor],
        *,
        reduction: Reduction = "mean",
        samples: int | None = None,
        total: float | None = None,
        check: bool = True,
    ) -> None:
        super().__init__("EmpiricalFisher", output, loss, params, PSD)
        kept = self.linearization
        self.rows = SampleRows(self.name, kept.outputs, [self.loss_of_output.partly], samples)
        self.loss_of_output.close()
        if check:
            check_separate(kept, loss, self.rows)
        scale = 1.0 if reduction == "sum" else total or float(self.rows.samples)
        self.frame = Frame(scale, 1 / scale)

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        loss: Loss,
        data: Any,
        *,
        params: Selection = None,
        reduction: Reduction | None = None,
        samples: Callable[[Batch], float] | None = None,
        memory: float | None = None,
        check: bool = True,
        group: Group | None = None,
    ) -> ParameterOperator:
        """The empirical Fisher of all `data`, in the model's parameters.

        Args:
            model: in the mode (train or eval) that is meant; it is left as it is.
            loss: from the model's output and the targets to a scalar tensor.
            data: one batch (inputs, targets), or a list or `DataLoader` of batches, weighted by
                their samples.
            params: which parameters vary; None for all that require gradients.
            reduction: "mean" or "sum", what the loss does over a batch; None reads it from `loss`.
            samples: from a batch to the number of its samples, where its length is another; for
                cross entropy over tokens, of its tokens, so that a sequence's loss is the sum
                over its tokens.
            memory: bytes that may be kept for products; None for a quarter of what is free.
            check: see that the loss repeats itself and does not couple samples, and that the
                matrix is symmetric.
            group: the processes whose data counts; by default those that train the model together.

        `Problem` says more on each.

        Raises:
            TypeError, ValueError: as `Problem` and the constructor, or the check failed.
        """
        kind = reduction or reduction_of(loss)

        def make(term: Term) -> EmpiricalFisher:
            return cls(
                term.output,
                term.loss_of_output,
                term.params,
                reduction=kind,
                samples=int(samples_of(term.batch)),
                total=term.samples,
                check=check and term.stream == 0,
            )

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
