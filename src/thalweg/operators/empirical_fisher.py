r"""The empirical Fisher: the second moment of the samples' gradients at the data's own targets.

    E = 1/N sum_n g_n g_n',      g_n = gradient of sample n's loss

It is no approximation of the Fisher away from a good fit, since its targets are not drawn from the
model: Kunstner, Balles & Hennig, *Limitations of the empirical Fisher approximation for natural
gradient descent* (arXiv 1905.12558). It is what adaptive optimizers and influence functions use,
and 1/N sum_n g_n g_n' - g g' is the covariance of the gradient's noise (`GradientCovariance`).

A penalty on the parameters is shared out evenly: each g_n is the gradient of the sample's loss and
its share, so that they still add up to the gradient of the whole.

Cost of a product: 4/3 of a gradient (`operators.sample_gradients`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack, final

from torch import Tensor, nn

from thalweg.operators.batches import samples_of
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.problem import Loss, Options, Problem, Term
from thalweg.operators.pulled_back import LossOfOutput
from thalweg.operators.reduction import Reduction
from thalweg.operators.sample_gradients import Frame
from thalweg.operators.sample_moment import SampleMoment, moment_of_all


@final
class EmpiricalFisher(SampleMoment):
    """1/T sum_n g_n g_n' at `params`; for a loss that is a sum, sum_n g_n g_n'.

    Args:
        output, loss, params, reduction, samples, check: as `SampleMoment`.
        total: T, what the mean was taken over; None for N. A sample's loss is T times its share
            of the mean.

    Raises:
        ValueError: as `SampleMoment`.
    """

    name = "EmpiricalFisher"

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
        super().__init__(output, loss, params, reduction=reduction, samples=samples, check=check)
        self._scale = 1.0 if reduction == "sum" else total or float(self.rows.samples)

    @property
    def frame(self) -> Frame:  # type: ignore[override]
        """About minus a sample's share of the penalty's gradient, or zero."""
        return Frame(self._scale, 1 / self._scale, self.whole.about)

    @classmethod
    def of_model(
        cls, model: nn.Module, loss: Loss, data: Any, **options: Unpack[Options]
    ) -> ParameterOperator:
        """The empirical Fisher of all `data`, in the model's parameters.

        Args:
            model, loss, data: as `Hessian.of_model`.
            options: `Problem`'s. For cross entropy over tokens, `samples` is the number of a
                batch's tokens, so that a sequence's loss is the sum over its tokens. A `penalty`
                belongs to the samples in equal shares. The check also sees that the loss does not
                couple samples.

        Raises:
            TypeError, ValueError: as `Problem` and the constructor, or the check failed.
        """
        problem = Problem(model, loss, data, **options)

        def of_term(term: Term) -> EmpiricalFisher:
            return cls(
                term.output,
                term.loss_of_output,
                term.params,
                reduction=problem.reduction,
                samples=int(samples_of(term.batch)),
                total=term.samples,
                check=problem.check,
            )

        def minus_share(
            _: ParameterOperator, penalty: Tensor | None, samples: int
        ) -> Tensor | None:
            total = 1.0 if problem.reduction == "sum" else problem.batches.total
            return None if penalty is None else -total / samples * penalty

        return moment_of_all(problem, of_term, minus_share)
