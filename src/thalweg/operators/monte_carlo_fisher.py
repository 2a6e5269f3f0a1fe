r"""The Fisher with targets drawn from the model's own distribution.

    F = 1/(N S) sum_n sum_s g_ns g_ns',     g_ns = gradient of -log p(y_ns | x_n)

with y_ns drawn from p(. | x_n), for N samples and S draws. Its expectation over the draws is the
true Fisher. It needs no closed form, and serves any distribution that can be drawn from.

Martens, *New insights and perspectives on the natural gradient method* (arXiv 1412.1193), section
5; Kunstner et al. (arXiv 1905.12558) on why the data's own targets do not do.

Cost of a product: 4/3 of a gradient, whatever the number of draws (`operators.sample_gradients`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from thalweg.operators.batches import samples_of
from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.likelihood import (
    OfOutput,
    check_explains,
    known_likelihood,
    predicted,
    reduced,
)
from thalweg.operators.linearization import Linearization
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.penalty import penalty_hessian
from thalweg.operators.problem import Loss, Options, Problem, Term
from thalweg.operators.pulled_back import PSD, LossOfOutput
from thalweg.operators.random_state import RandomState
from thalweg.operators.reduction import Reduction
from thalweg.operators.sample_gradients import (
    Frame,
    Partly,
    SampleRows,
    SecondMoment,
    check_separate,
)


@final
class MonteCarloFisher(SecondMoment):
    """The Fisher of `likelihood` at `params`, from drawn targets.

    Args:
        output: from named parameters to the model's output, of any structure, with samples on the
            first axis of each of its tensors. Called once.
        loss: from that output to a scalar tensor, for `loss` and `gradient` alone.
        likelihood: from the output to a `torch.distributions.Distribution` over targets.
        params: names to tensors; the values are copied.
        reduction: "mean" over the entries of the distribution's batch, or "sum".
        counted: which of these entries count, booleans of the batch's shape; None for all.
        samples: N, where rows of the output belong to samples in runs; None for one row each.
        draws: S, targets drawn for each entry.
        seed: of the draws; the program's own random state is left as it is.
        stream: another one gives other draws under the same seed.
        check: see that the distribution does not couple samples.

    Raises:
        TypeError: the likelihood gives no distribution.
        ValueError: fewer than one draw, or the likelihood couples samples; else as `GaussNewton`.
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
        samples: int | None = None,
        draws: int = 1,
        seed: int = 0,
        stream: int = 0,
        check: bool = True,
    ) -> None:
        if draws < 1:
            raise ValueError(f"MonteCarloFisher(draws={draws}): give at least one draw.")
        super().__init__("MonteCarloFisher", output, loss, params, PSD)
        kept = self.linearization
        center = predicted(likelihood, kept.rebuilt(kept.outputs))
        targets = drawn(center, draws, seed, stream, self.device)

        def surprises(found: Any) -> list[Tensor]:
            density = predicted(likelihood, found)
            return [reduced(-density.log_prob(y), reduction, counted) for y in targets]

        self.rows = SampleRows(self.name, kept.outputs, gradients(kept, surprises), samples)
        self.loss_of_output.close()
        if check:
            check_separate(kept, lambda found: surprises(found)[0], self.rows)
        entries = center.batch_shape.numel() if counted is None else int(counted.sum())
        scale = 1.0 if reduction == "sum" else float(entries)
        self.frame = Frame(scale, 1 / (scale * draws))

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        loss: Loss,
        data: Any,
        *,
        draws: int = 1,
        seed: int = 0,
        likelihood: OfOutput | None = None,
        **options: Unpack[Options],
    ) -> ParameterOperator:
        """The Monte-Carlo Fisher of all `data`, in the model's parameters.

        Args:
            model, loss, data, likelihood, options: as `Fisher.of_model`; a `penalty` has no
                targets, and its Hessian is exact.
            draws: targets drawn for each of the data's.
            seed: of the draws. They are the same in every product, and others in every batch.

        Raises:
            TypeError, ValueError: as `Fisher.of_model` and the constructor.
        """
        known = known_likelihood(loss, likelihood)
        problem = Problem(model, loss, data, **options)

        def of_term(term: Term) -> MonteCarloFisher:
            fisher = cls(
                term.output,
                term.loss_of_output,
                known.distribution,
                term.params,
                reduction=problem.reduction,
                counted=known.counted(term.batch.targets),
                samples=int(samples_of(term.batch)),
                draws=draws,
                seed=seed,
                stream=term.stream,
                check=problem.check,
            )
            if problem.check:
                check_explains(known, fisher, term.batch.targets, problem.reduction)
            return fisher

        return problem.operator(of_term, of_penalty=penalty_hessian)


def drawn(
    distribution: Distribution, draws: int, seed: int, stream: int, device: torch.device
) -> list[Tensor]:
    """Targets from `distribution`, the same for the same seed and stream."""
    now = RandomState.now([device] if device.type == "cuda" else [])
    seeded = torch.Generator().manual_seed(seed).get_state()
    state = RandomState(seeded, now.cuda, now.python, now.numpy, now.own)
    with state.resumed(stream + 1), torch.no_grad():
        return list(distribution.sample((draws,)))


def gradients(linearization: Linearization, losses: Callable[[Any], list[Tensor]]) -> list[Partly]:
    """For each of the losses of the output, its gradient in the outputs that it uses."""
    with twice_differentiable():
        point = [z.clone().requires_grad_() for z in linearization.outputs]
        return [
            torch.autograd.grad(value, point, retain_graph=True, allow_unused=True)
            for value in losses(linearization.rebuilt(point))
        ]
