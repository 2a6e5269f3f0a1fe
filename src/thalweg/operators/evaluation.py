r"""One batch, evaluated so that the derivatives at every layer can be asked for again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor

from thalweg.operators.alignment import Aligned, Positions, aligned, derivatives_at
from thalweg.operators.block_plan import Plan, Shapes, accounted, plans
from thalweg.operators.layer_derivatives import layer_derivatives
from thalweg.operators.layer_uses import UseRecorder
from thalweg.operators.output_root import JoinedOutput, Kind, columns, gradient_in, joined
from thalweg.operators.snapshot import Snapshot

Sharing = Literal["expand", "reduce"]

# Numbers that the derivatives of all samples may take at once.
LARGEST_AT_ONCE = 2**24


@final
@dataclass(frozen=True)
class Piece:
    """One batch, as functions of the parameters.

    Attributes:
        output: from the parameters to the model's output.
        loss: from the output to a scalar.
        samples: N, rows of the output; None for its length.
        weight: of this batch in the loss of all.
        share: of one sample in this batch's loss; None for 1/N.
        positions: of samples in layers, as earlier evaluations of the program found them; None to
            find them anew.
    """

    output: Callable[[dict[str, Tensor]], Any]
    loss: Callable[[Any], Tensor]
    samples: int | None = None
    weight: float = 1.0
    share: float | None = None
    positions: Positions | None = None


@final
@dataclass(frozen=True)
class Settings:
    """What is asked for; see `Kronecker`.

    Attributes:
        kind, draws, seed: of the columns.
        sharing: of a weight between positions.
        full: largest exact block that is kept whole.
        precision: of what is kept; None for the parameters' own.
    """

    kind: Kind = "exact"
    draws: int = 1
    seed: int = 0
    sharing: Sharing = "expand"
    full: int = 512
    precision: torch.dtype | None = None

    def generator(self) -> torch.Generator:
        """Where columns are drawn from, the same ones each time."""
        return torch.Generator().manual_seed(self.seed)


@final
@dataclass(frozen=True)
class Evaluation:
    """A piece, evaluated: its graph, its layers' uses, and the blocks they call for."""

    piece: Piece
    params: dict[str, Tensor]
    output: JoinedOutput
    uses: list[Aligned]
    plans: list[Plan]

    @classmethod
    def of(cls, piece: Piece, params: Mapping[str, Tensor]) -> Evaluation:
        """Evaluate a piece at `params`."""
        variables = Snapshot.of(params).variables()
        recorder = UseRecorder(variables)
        with recorder:
            raw = piece.output(dict(variables))
        output = joined(raw, piece.samples)
        uses, _ = aligned(
            output.rows, recorder.uses, coupled=recorder.coupled, positions=piece.positions
        )
        told = dict(accounted(output.rows, variables, uses))
        blocks = plans(
            [one.use for one in uses],
            [name for name, whole in told.items() if whole],
            [name for name, whole in told.items() if not whole],
        )
        return cls(piece, variables, output, uses, blocks)

    @property
    def share(self) -> float:
        """Of one sample in the batch's loss."""
        return 1 / len(self.output.rows) if self.piece.share is None else self.piece.share

    @property
    def shapes(self) -> Shapes:
        """The parameters'."""
        return {name: param.shape for name, param in self.params.items()}

    def loss_and_gradient(self) -> tuple[float, dict[str, Tensor]]:
        """The batch's loss, and its derivative in each parameter."""
        there = gradient_in(self.output, self.piece.loss)
        rows = torch.autograd.grad(
            self.output.rows,
            list(self.params.values()),
            there.gradient.detach(),
            retain_graph=True,
            materialize_grads=True,
        )
        return float(there.value), dict(zip(self.params, map(dense, rows), strict=True))

    def columns(self, settings: Settings, generator: torch.Generator) -> Iterator[Tensor]:
        """The columns of this batch's middle matrix."""
        return columns(
            self.output,
            self.piece.loss,
            kind=settings.kind,
            weight=self.share,
            draws=settings.draws,
            generator=generator,
        )

    def derivatives(self, column: Tensor) -> list[Tensor]:
        """g for every use, (N, T, ...)."""
        found = derivatives_at(self.output.rows, [one.use for one in self.uses], column)
        return [one.turned(g) for one, g in zip(self.uses, found, strict=True)]

    def entries(self, plan: Plan) -> Tensor:
        """a for the block of a plan, all its uses' positions together, (N, T, ...)."""
        a = torch.cat([self.uses[i].entries() for i in plan.uses], 1)
        if len(plan.names) == 1 or self.uses[plan.uses[0]].use.kind == "scale":
            return a
        return torch.cat([a, torch.ones_like(a[..., :1])], -1)


def dense(tensor: Tensor) -> Tensor:
    """A derivative as a strided tensor."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def exact_gradients(
    at: Evaluation, plan: Plan, derivatives: list[Tensor]
) -> Iterator[list[Tensor]]:
    """Derivatives in a plan's parameters, (N, *shape) each; large ones a sample at a time."""
    shapes = at.shapes
    entries = {i: at.uses[i].entries() for i in plan.uses}
    count = len(at.output.rows)
    wide = sum(shapes[name].numel() for name in plan.names) > LARGEST_AT_ONCE / count
    for part in [slice(n, n + 1) for n in range(count)] if wide else [slice(None)]:
        found: dict[str, Tensor] = {}
        for i in plan.uses:
            use, a, g = at.uses[i].use, entries[i][part], derivatives[i][part]
            for name, gradient in layer_derivatives(use, a, g, shapes).items():
                found[name] = found.get(name, 0) + gradient
        yield [found[name] for name in plan.names]


def loose_gradients(at: Evaluation, names: list[str], column: Tensor) -> Iterator[list[Tensor]]:
    """For each sample, the derivatives of its own part of a column, (1, *shape) each."""
    if not names:
        return
    for n in range(len(column)):
        alone = torch.zeros_like(column)
        alone[n] = column[n]
        found = torch.autograd.grad(
            at.output.rows,
            [at.params[name] for name in names],
            alone,
            retain_graph=True,
            materialize_grads=True,
        )
        yield [dense(gradient).unsqueeze(0) for gradient in found]
