r"""The second moment of the gradients that the samples have at their own targets.

    w sum_n (c r_n - m)(c r_n - m)'

Its m, a mean or a share of a penalty, is known once all the data was seen; until then, and in
passes over the data after that, the batches of one moment look at one `Whole`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, final

from torch import Tensor

from thalweg.operators.distributed import total
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.penalty import WithoutCurvature
from thalweg.operators.problem import Problem, Term
from thalweg.operators.pulled_back import PSD, LossOfOutput
from thalweg.operators.reduction import Reduction
from thalweg.operators.sample_gradients import SampleRows, SecondMoment, check_separate


@final
@dataclass
class Whole:
    """What a batch must know of all the data.

    Attributes:
        samples: N; while the batches are seen for the first time, those seen so far.
        about: m, shape (n,); None for zero.
        complete: whether every batch was seen.
    """

    samples: int = 0
    about: Tensor | None = None
    complete: bool = False


class SampleMoment(SecondMoment):
    """w sum_n (c r_n - m)(c r_n - m)' over the samples of one batch at `params`.

    Args:
        output: from named parameters to the model's output, of any structure, with samples on the
            first axis of each of its tensors. Called once.
        loss: from that output to a scalar tensor: the mean, or sum, of the samples' losses.
        params: names to tensors; the values are copied.
        reduction: "mean" or "sum", what the loss does.
        samples: N, where rows of the output belong to samples in runs; None for one row each.
        check: see that the loss does not couple samples.

    Raises:
        ValueError: the loss couples samples, or the output's first axis does not hold them; else
            as `GaussNewton`.

    A subclass has a `name` and a `frame`.
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
        super().__init__(self.name, output, loss, params, PSD)
        kept = self.linearization
        self.rows = SampleRows(self.name, kept.outputs, [self.loss_of_output.partly], samples)
        self.loss_of_output.close()
        if check:
            check_separate(kept, loss, self.rows)
        self.reduction, self.whole, self.share = reduction, Whole(), 1.0

    def within(self, whole: Whole, share: float) -> Self:
        """This batch's part of the moment of more data, where its loss has this share in a mean."""
        self.whole, self.share = whole, share
        if not whole.complete:
            whole.samples += self.rows.samples
        return self


def moment_of_all(
    problem: Problem,
    of_term: Callable[[Term], SampleMoment],
    about: Callable[[ParameterOperator, Tensor | None, int], Tensor | None],
) -> ParameterOperator:
    """The moment over all the data of a problem.

    Args:
        problem: the model, its loss and its data.
        of_term: from a batch to its part.
        about: from the operator of all the data (its loss and gradient), the penalty's gradient
            (None without one) and N to m.
    """
    whole = Whole()

    def part(term: Term) -> SampleMoment:
        return of_term(term).within(whole, term.samples / problem.batches.total)

    operator = problem.operator(part, of_penalty=WithoutCurvature)
    whole.samples = round(total(whole.samples, problem.group))
    whole.about = about(operator, penalty_gradient(problem), whole.samples)
    whole.complete = True
    return operator


def penalty_gradient(problem: Problem) -> Tensor | None:
    """The gradient of a problem's penalty, shape (n,); None if it has none."""
    if not problem.penalized:
        return None
    return WithoutCurvature(problem.penalty, problem.params).gradient
