r"""The covariance of the samples' gradients: the noise that minibatches add to a gradient.

    C = 1/N sum_n (g_n - g)(g_n - g)',     g_n = gradient of sample n's loss,   g = their mean

The gradient of a minibatch of B samples, drawn with replacement, has the covariance C / B. Its
trace over |g|^2 is the simple noise scale: McCandlish, Kaplan & Amodei, *An empirical model of
large-batch training* (arXiv 1812.06162), section 2.2.

The mean is taken off sample by sample, not as E - g g', so nothing cancels where noise is small.
Over several batches it is the mean of all the data. A penalty on the parameters is the same for all
samples: it moves their mean and leaves the covariance.

Cost of a product: 4/3 of a gradient (`operators.sample_gradients`).
"""

from __future__ import annotations

from typing import Any, Unpack, final

from torch import Tensor, nn

from thalweg.operators.batches import samples_of
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.problem import Loss, Options, Problem, Term
from thalweg.operators.reduction import Reduction
from thalweg.operators.sample_gradients import Frame
from thalweg.operators.sample_moment import SampleMoment, Whole, moment_of_all


@final
class GradientCovariance(SampleMoment):
    """1/N sum_n (g_n - g)(g_n - g)' at `params`.

    g_n is N times a sample's share of the gradient of a mean, and the share itself of the gradient
    of a sum.

    Args:
        output, loss, params, reduction, samples, check: as `SampleMoment`.

    Raises:
        ValueError: as `SampleMoment`.
    """

    name = "GradientCovariance"

    @property
    def frame(self) -> Frame:  # type: ignore[override]
        """About the mean of all the data; of this batch, until the others were seen."""
        alone = Whole(self.rows.samples, mean_of(self.gradient, self.reduction, self.rows.samples))
        whole = self.whole if self.whole.complete else alone
        scale = 1.0 if self.reduction == "sum" else whole.samples * self.share
        weight = 1 / (whole.samples if self.reduction == "sum" else scale)
        return Frame(scale, weight, whole.about)

    @classmethod
    def of_model(
        cls, model: nn.Module, loss: Loss, data: Any, **options: Unpack[Options]
    ) -> ParameterOperator:
        """The covariance of the samples' gradients over all `data`, in the model's parameters.

        Args:
            model, loss, data: as `Hessian.of_model`.
            options: `Problem`'s. `samples` is the weight of a batch's mean in the mean of all,
                where that is not its length; the samples that vary are the output's rows. A
                `penalty` enters `loss` and `gradient` alone. The check also sees that the loss
                does not couple samples.

        Raises:
            TypeError, ValueError: as `Problem` and the constructor, or the check failed.
        """
        problem = Problem(model, loss, data, **options)

        def of_term(term: Term) -> GradientCovariance:
            return cls(
                term.output,
                term.loss_of_output,
                term.params,
                reduction=problem.reduction,
                samples=int(samples_of(term.batch)),
                check=problem.check,
            )

        def mean(operator: ParameterOperator, penalty: Tensor | None, samples: int) -> Tensor:
            of_data = operator.gradient if penalty is None else operator.gradient - penalty
            return mean_of(of_data, problem.reduction, samples)

        return moment_of_all(problem, of_term, mean)


def mean_of(gradient: Tensor, reduction: Reduction, samples: int) -> Tensor:
    """The mean of the samples' gradients, from the gradient of their losses' mean or sum."""
    return gradient / samples if reduction == "sum" else gradient
