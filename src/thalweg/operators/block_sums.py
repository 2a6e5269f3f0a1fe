r"""The blocks of parameters while they are summed over batches and columns.

For a weight that is applied at T positions to each of N samples, with inputs a (a 1 appended where
there is a bias) and derivatives g of a column u in its outputs (`operators.output_root`),

    expand     B = [ 1/(N T) sum_{n,t} a a' ]  (x)  [ sum_u sum_{n,t} g g' ]
    reduce     B = [ 1/N sum_n abar abar' ]  (x)  [ sum_u sum_n gsum gsum' ]

abar the mean and gsum the sum over positions. Both are exact where inputs and derivatives are
independent and T = 1; "expand" also where positions enter the loss one by one, "reduce" where they
are averaged. Positions of several uses of a weight count as positions of one. Embeddings always
take "expand".

Martens & Grosse (arXiv 1503.05671); Grosse & Martens for convolutions (arXiv 1602.01407), whose
factors are the ones of "expand"; Eschenhagen et al. for both settings (arXiv 2311.00636).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.operators.block_plan import Plan, Shapes
from thalweg.operators.blocks import Block, DiagonalBlock, FullBlock, KroneckerBlock
from thalweg.operators.evaluation import Evaluation, Settings, Sharing


@final
@dataclass
class FactorSum:
    """A Kronecker block while it is summed; see the module for its two brackets.

    Attributes:
        inputs: sum over samples and positions of a a', (groups, q, q); of an embedding, how often
            each row was used, (1, V).
        positions: how many were summed.
        outputs: the second bracket, (groups, p, p).
    """

    plan: Plan
    embedding: bool
    inputs: Tensor
    positions: int
    outputs: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What is summed."""
        return (self.inputs, self.outputs)

    def block(self, shapes: Shapes) -> Block:
        """The block."""
        inputs = self.inputs / max(self.positions, 1)
        left, right = (inputs, self.outputs) if self.embedding else (self.outputs, inputs)
        return KroneckerBlock(
            self.plan.names, tuple(shapes[name] for name in self.plan.names), left, right
        )


@final
@dataclass
class ExactSum:
    """An exact block while it is summed: its matrix (n, n), or its diagonal (n,)."""

    plan: Plan
    sum: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What is summed."""
        return (self.sum,)

    @classmethod
    def empty(cls, plan: Plan, like: Mapping[str, Tensor], full: int) -> ExactSum:
        """Nothing summed yet; whole up to `full` rows."""
        size = sum(like[name].numel() for name in plan.names)
        first = like[plan.names[0]]
        return cls(plan, first.new_zeros((size, size) if size <= full else size))

    def add(self, weight: float, gradients: list[Tensor]) -> None:
        """Add weight sum_n g_n g_n' for g_n joined from tensors (N, *shape)."""
        g = torch.cat([part.reshape(len(part), -1) for part in gradients], 1).to(self.sum)
        self.sum += weight * (g.mT @ g if self.sum.dim() == 2 else g.square().sum(0))

    def block(self, shapes: Shapes) -> Block:
        """The block."""
        names = self.plan.names
        kept = tuple(shapes[name] for name in names)
        return (FullBlock if self.sum.dim() == 2 else DiagonalBlock)(names, kept, self.sum)


Sum = FactorSum | ExactSum


def begun(plan: Plan, at: Evaluation, params: Mapping[str, Tensor], settings: Settings) -> Sum:
    """The sum of a block before its first batch."""
    like = {
        name: p if settings.precision is None else p.to(settings.precision)
        for name, p in params.items()
    }
    if plan.form != "kronecker":
        return ExactSum.empty(plan, like, settings.full)
    use, weight = at.uses[plan.uses[0]].use, like[plan.names[0]]
    if use.kind == "embedding":
        rows, width = weight.shape
        counts, outputs = weight.new_zeros(1, rows), weight.new_zeros(1, width, width)
        return FactorSum(plan, True, counts, 0, outputs)
    p = len(weight) // use.groups
    q = weight[0].numel() + len(plan.names) - 1
    inputs = weight.new_zeros(use.groups, q, q)
    return FactorSum(plan, False, inputs, 0, weight.new_zeros(use.groups, p, p))


def add_inputs(total: FactorSum, a: Tensor, sharing: Sharing) -> None:
    """Add a batch's inputs to the first bracket."""
    if total.embedding:
        total.inputs += torch.bincount(a.reshape(-1), minlength=total.inputs.shape[1])
        total.positions += a.numel()
        return
    a = a.to(total.inputs)
    a = a.mean(1, keepdim=True) if sharing == "reduce" else a
    total.inputs += grams(a)
    total.positions += a.shape[0] * a.shape[1]


def add_outputs(total: FactorSum, weight: float, g: Tensor, sharing: Sharing) -> None:
    """Add a column's derivatives to the second bracket."""
    g = g.to(total.outputs)
    if total.embedding:
        total.outputs += weight * grams(g.unsqueeze(-2))
    else:
        g = g.sum(1, keepdim=True) if sharing == "reduce" else g
        total.outputs += weight * grams(g)


def grams(x: Tensor) -> Tensor:
    """sum over samples and positions of x x': (N, T, groups, q) -> (groups, q, q)."""
    x = x.flatten(0, 1).transpose(0, 1)
    return x.mT @ x
