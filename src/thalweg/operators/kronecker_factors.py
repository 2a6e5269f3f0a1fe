r"""The blocks of all parameters, collected over data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from thalweg.operators.block_plan import Plan
from thalweg.operators.block_sums import (
    ExactSum,
    FactorSum,
    Sum,
    add_inputs,
    add_outputs,
    begun,
)
from thalweg.operators.blocks import Block, DiagonalBlock
from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.distributed import Group, together, total
from thalweg.operators.evaluation import (
    Evaluation,
    Piece,
    Settings,
    exact_gradients,
    loose_gradients,
)
from thalweg.operators.factor_reduction import add_ranks, sum_over_ranks


@final
@dataclass
class Collected:
    """Blocks, loss and gradient, while they are summed over batches."""

    params: Mapping[str, Tensor]
    settings: Settings
    loss: float = 0.0
    gradient: dict[str, Tensor] = field(default_factory=dict)
    sums: dict[tuple[str, ...], Sum] = field(default_factory=dict)

    def add(self, at: Evaluation, generator: torch.Generator) -> None:
        """Add a batch."""
        weight = at.piece.weight
        value, gradient = at.loss_and_gradient()
        self.loss += weight * value
        for name, part in gradient.items():
            self.gradient[name] = self.gradient.get(name, 0) + weight * part
        for plan in at.plans:
            self._begin(plan, at)
        for column in at.columns(self.settings, generator):
            self._add_column(at, column)

    def _begin(self, plan: Plan, at: Evaluation) -> None:
        if plan.names not in self.sums:
            check_new(plan, self.sums)
            self.sums[plan.names] = begun(plan, at, self.params, self.settings)
        one = self.sums[plan.names]
        if one.plan.form != plan.form:
            raise another_use(plan)
        if isinstance(one, FactorSum):
            add_inputs(one, at.entries(plan), self.settings.sharing)

    def _add_column(self, at: Evaluation, column: Tensor) -> None:
        weight = at.piece.weight
        derivatives = at.derivatives(column)
        for plan in at.plans:
            one = self.sums[plan.names]
            if isinstance(one, FactorSum):
                g = torch.cat([derivatives[i] for i in plan.uses], 1)
                add_outputs(one, weight, g, self.settings.sharing)
            elif plan.form == "exact":
                for gradients in exact_gradients(at, plan, derivatives):
                    one.add(weight, gradients)
        loose = [plan for plan in at.plans if plan.form == "loose"]
        for gradients in loose_gradients(at, [plan.names[0] for plan in loose], column):
            for plan, gradient in zip(loose, gradients, strict=True):
                one = self.sums[plan.names]
                if isinstance(one, ExactSum):
                    one.add(weight, [gradient])

    def blocks(self) -> tuple[Block, ...]:
        """One for every parameter; zero for those that took no part."""
        shapes = {name: param.shape for name, param in self.params.items()}
        found = [one.block(shapes) for one in self.sums.values()]
        taken = {name for block in found for name in block.names}
        for name, param in self.params.items():
            if name not in taken:
                zero = param.new_zeros(param.numel(), dtype=self.settings.precision)
                found.append(DiagonalBlock((name,), (param.shape,), zero))
        return tuple(found)

    @property
    def loose(self) -> frozenset[str]:
        """The parameters whose blocks came from the whole program's derivatives."""
        return frozenset(names[0] for names, one in self.sums.items() if one.plan.form == "loose")


def collected(
    pieces: Iterable[Piece],
    params: Mapping[str, Tensor],
    settings: Settings,
    group: Group | None = None,
) -> Collected:
    """The blocks of all pieces at `params`, those of all ranks of a group added up.

    Raises:
        ValueError, TypeError, NotImplementedError: see `Kronecker`.
    """
    result, generator = Collected(params, settings), settings.generator()
    with together(group), twice_differentiable():
        for piece in pieces:
            result.add(Evaluation.of(piece, params), generator)
    add_ranks(result.sums, group)
    sum_over_ranks(result.gradient.values(), group)
    result.loss = total(result.loss, group)
    for names, one in result.sums.items():
        check_finite(names, one)
    return result


def check_new(plan: Plan, sums: Mapping[tuple[str, ...], Sum]) -> None:
    """Refuse a block that overlaps with one of an earlier batch.

    Raises:
        ValueError: it does.
    """
    if any(set(plan.names) & set(names) for names in sums):
        raise another_use(plan)


def another_use(plan: Plan) -> ValueError:
    """The error for a program that uses its parameters in other ways from batch to batch."""
    return ValueError(
        f"the model uses {', '.join(plan.names)} in another way in one batch than in those before, "
        "so their factors cannot be added. Take these batches by themselves."
    )


def check_finite(names: tuple[str, ...], one: Sum) -> None:
    """Raise ValueError if a factor is not finite."""
    if not all(bool(torch.isfinite(part).all()) for part in one.tensors):
        raise ValueError(
            f"the factors of {', '.join(names)} are not finite: its inputs or the derivatives "
            "overflow. Use precision=torch.float64, or parameters where they do not."
        )
