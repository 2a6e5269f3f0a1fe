r"""The covariance of the samples' gradients: the noise that minibatches add to a gradient.

    C = 1/N sum_n (g_n - g)(g_n - g)',     g_n = gradient of sample n's loss,   g = their mean

The gradient of a minibatch of B samples, drawn with replacement, has the covariance C / B. Its
trace over |g|^2 is the simple noise scale: McCandlish, Kaplan & Amodei, *An empirical model of
large-batch training* (arXiv 1812.06162), section 2.2.

The mean is taken off sample by sample, not as E - g g', so nothing cancels where noise is small.
Over several batches it is the mean of all the data.

Cost of a product: 4/3 of a gradient (`operators.sample_gradients`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn

from thalweg.operators.batches import Batch, samples_of
from thalweg.operators.distributed import Group, group_of, total
from thalweg.operators.hessian import Hessian
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.problem import Loss, Problem, Selection, Term
from thalweg.operators.pulled_back import PSD, LossOfOutput
from thalweg.operators.reduction import Reduction, reduction_of
from thalweg.operators.sample_gradients import Frame, SampleRows, SecondMoment, check_separate


@final
@dataclass
class Whole:
    """What a batch must know of all the data: filled once every batch was seen.

    Attributes:
        samples: N.
        gradient: of the loss of all the data.
    """

    samples: int = 0
    gradient: Tensor | None = None


@final
class GradientCovariance(SecondMoment):
    """1/N sum_n (g_n - g)(g_n - g)' at `params`.

    Args:
        output: from named parameters to the model's output, of any structure, with samples on the
            first axis of each of its tensors. Called once.
        loss: from that output to a scalar tensor: the mean, or sum, of the samples' losses.
        params: names to tensors; the values are copied.
        reduction: "mean" or "sum", what the loss does. g_n is N times a sample's share of the
            gradient of a mean, and the share itself of the gradient of a sum.
        samples: N, where rows of the output belong to samples in runs; None for one row each.
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
        check: bool = True,
    ) -> None:
        super().__init__("GradientCovariance", output, loss, params, PSD)
        kept = self.linearization
        self.rows = SampleRows(self.name, kept.outputs, [self.loss_of_output.partly], samples)
        self.loss_of_output.close()
        if check:
            check_separate(kept, loss, self.rows)
        self._reduction = reduction
        self._share, self._whole = 1.0, Whole()

    @property
    def frame(self) -> Frame:  # type: ignore[override]
        """About the mean of all the data, as far as it is known."""
        whole = self._whole
        if whole.gradient is None:
            whole = Whole(self.rows.samples, self.gradient)
        gradient = self.gradient if whole.gradient is None else whole.gradient
        if self._reduction == "sum":
            return Frame(1.0, 1 / whole.samples, gradient / whole.samples)
        scale = whole.samples * self._share
        return Frame(scale, 1 / scale, gradient)

    def within(self, whole: Whole, share: float) -> GradientCovariance:
        """This batch's part of the covariance of more data, where its loss has weight `share`."""
        self._whole, self._share = whole, share
        if whole.gradient is None:
            whole.samples += self.rows.samples
        return self

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
        """The covariance of the samples' gradients over all `data`, in the model's parameters.

        Args:
            model: in the mode (train or eval) that is meant; it is left as it is.
            loss: from the model's output and the targets to a scalar tensor.
            data: one batch (inputs, targets), or a list or `DataLoader` of batches, weighted by
                their samples.
            params: which parameters vary; None for all that require gradients.
            reduction: "mean" or "sum", what the loss does over a batch; None reads it from `loss`.
            samples: from a batch to the weight of its mean in the mean of all, where that is not
                its length. The samples that vary are the output's rows.
            memory: bytes that may be kept for products; None for a quarter of what is free.
            check: see that the loss repeats itself and does not couple samples, and that the
                matrix is symmetric.
            group: the processes whose data counts; by default those that train the model together.

        `Problem` says more on each. A penalty has no place here: it is the same for all samples.

        Raises:
            TypeError, ValueError: as `Problem` and the constructor, or the check failed.
        """
        kind, whole = reduction or reduction_of(loss), Whole()
        group = group_of(model) if group is None else group

        def make(term: Term) -> GradientCovariance:
            found = cls(
                term.output,
                term.loss_of_output,
                term.params,
                reduction=kind,
                samples=int(samples_of(term.batch)),
                check=check and term.stream == 0,
            )
            return found.within(whole, term.samples / problem.batches.total)

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
        operator = problem.operator(make, of_penalty=Hessian)
        whole.samples = round(total(whole.samples, group))
        whole.gradient = operator.gradient
        return operator
