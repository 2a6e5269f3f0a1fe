r"""The Kronecker-factored approximation of the Gauss-Newton matrix (K-FAC).

    block of a layer's weight and bias  =  E[a a']  (x)  sum E[g g']

a the layer's inputs, g the derivatives in its outputs (`operators.block_sums` has the formula for
each kind of layer). Blocks between layers are left out. Linear layers, convolutions (grouped ones a
group at a time) and embeddings have Kronecker factors, wherever they occur: inside attention, in
functional calls, used twice. Every other parameter has its exact block, whole where it is small and
its diagonal where it is large; so no parameter is left out, and none refused.

Martens & Grosse, *Optimizing neural networks with Kronecker-factored approximate curvature*
(arXiv 1503.05671).

Cost: for each batch one forward pass and a backward pass for each column ("exact": numbers of the
output for one sample; "monte-carlo": `draws`; "empirical": one), 2 log2(samples) + 3 more to see
which positions belong to which sample and that no use was missed (5 in all where `Positions` of
earlier evaluations are at hand); and for parameters that are not covered by layers, a backward pass
for each sample and column. Memory: one batch's graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from thalweg.operators.alignment import Positions
from thalweg.operators.batches import Batch
from thalweg.operators.blocks import Block
from thalweg.operators.checks import SUMMING, culprit
from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.distributed import Group, group_of, plain, together
from thalweg.operators.evaluation import Piece, Settings, Sharing
from thalweg.operators.factor_averages import averaged
from thalweg.operators.factor_state import (
    restored_block,
    restored_layout,
    saved_block,
    saved_layout,
)
from thalweg.operators.factored import FactoredOperator
from thalweg.operators.hessian import Hessian
from thalweg.operators.kronecker_factors import Collected, collected
from thalweg.operators.output_root import KINDS, Kind
from thalweg.operators.penalized_blocks import penalized
from thalweg.operators.problem import Penalty, Problem, Selection, Term
from thalweg.operators.reduction import Reduction
from thalweg.operators.snapshot import Snapshot


class Kronecker(FactoredOperator):
    """Kronecker factors of the Gauss-Newton matrix of loss(output(params)) at `params`.

    Args:
        output: from named parameters to the model's output: tensors in any structure, with the
            samples along their first axes; it must compute with the tensors that it is handed.
        loss: from the output to a scalar that adds up over samples.
        params: names to tensors; the values are copied.
        samples: N, where the output has several rows for each sample; None for its length.
        kind: "exact" uses the loss's Hessian in the output, "monte-carlo" draws columns whose
            expectation it is, "empirical" uses the samples' own gradients.
        draws: how many columns "monte-carlo" draws for each batch.
        seed: of those draws; the program's own random state is left alone.
        sharing: "expand" or "reduce", for weights that are applied at several positions.
        full: the largest exact block to keep whole, in rows; beyond it the diagonal is kept.
        precision: of the factors and their products; None for the parameters' own.

    Attributes:
        uncovered: parameters that take part otherwise than in linear layers, convolutions,
            embeddings and normalizations; their blocks are exact, and the costly ones.
        structure: for each parameter, "Kronecker", "full" or "diagonal".

    Raises:
        TypeError, ValueError: the loss is no finite scalar, couples samples, or is not convex in
            the output; the output has no gradient, or no axis of samples; factors overflow.
        NotImplementedError: PyTorch has no second derivative of the loss in the output.
    """

    name = "Kronecker"

    def __init__(
        self,
        output: Callable[[dict[str, Tensor]], Any],
        loss: Callable[[Any], Tensor],
        params: Mapping[str, Tensor],
        *,
        samples: int | None = None,
        kind: Kind = "exact",
        draws: int = 1,
        seed: int = 0,
        sharing: Sharing = "expand",
        full: int = 512,
        precision: torch.dtype | None = None,
    ) -> None:
        settings = checked(Settings(kind, draws, seed, sharing, full, precision), self.name)
        self._collect([Piece(output, loss, samples)], Snapshot.of(params), settings)

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        loss: Callable[[Any, Any], Tensor],
        data: Any,
        *,
        params: Selection = None,
        penalty: Penalty | None = None,
        reduction: Reduction | None = None,
        samples: Callable[[Batch], float] | None = None,
        check: bool = True,
        group: Group | None = None,
        kind: Kind = "exact",
        draws: int = 1,
        seed: int = 0,
        sharing: Sharing = "expand",
        full: int = 512,
        precision: torch.dtype | None = None,
    ) -> Self:
        """Kronecker factors for a model's loss over data.

        Args:
            model: in the mode (train or eval) whose loss is meant; it is left as it is, its
                buffers, gradients and the random state included.
            loss: from the model's output and a batch's targets to a scalar tensor.
            data: one batch (inputs, targets), or a list or `DataLoader` of batches, whose factors
                are added up, weighted by samples; see `Batches`.
            params: which parameters vary; see `Problem`.
            penalty: from the model's parameters by name to a scalar, added once to the loss. Its
                Hessian is added to the blocks: it must be diagonal without a negative entry, and a
                multiple of the identity on each block with Kronecker factors.
            reduction: what the loss does over a batch; None reads it from the loss object.
            samples: from a batch to the number of its samples; see `Batches`.
            check: evaluate the first batch's loss twice, to see that it repeats itself.
            group: the processes whose data counts, each with its share in `data`; by default those
                that train the model together (DDP, FSDP2). All must make the operator; products
                and inverses then need no other rank.

        The other arguments, and what is raised, are the class's; besides, ValueError on a penalty
        that has no place in the blocks. Batch normalization in train mode
        couples the samples of a batch; the derivatives then hold what reaches a layer's position
        from all of them.
        """
        settings = checked(Settings(kind, draws, seed, sharing, full, precision), cls.name)
        group = group_of(model) if group is None else group
        problem = Problem(
            model,
            loss,
            data,
            params=params,
            penalty=penalty,
            reduction=reduction,
            samples=samples,
            group=group,
        )
        pieces = Pieces(problem, problem.reduction)
        if check:
            with together(group):
                check_first(cls.name, problem, plain(model))
        operator = cls.of_pieces(pieces, problem.params, settings, group)
        if problem.penalized:
            operator._add(Hessian(problem.penalty, problem.params))
        return operator

    @classmethod
    def of_pieces(
        cls,
        pieces: Iterable[Piece],
        params: Mapping[str, Tensor],
        settings: Settings,
        group: Group | None = None,
    ) -> Self:
        """Factors of batches that are functions of the parameters already.

        Args:
            pieces: the batches; those of `EigenvalueCorrected` are gone through twice.
            params: names to tensors, the place where curvature is asked.
            settings: of the class's arguments.
            group: the processes that the data is spread over.
        """
        operator = cls.__new__(cls)
        operator._collect(pieces, params, settings, group)
        return operator

    def _collect(
        self,
        pieces: Iterable[Piece],
        params: Mapping[str, Tensor],
        settings: Settings,
        group: Group | None = None,
    ) -> None:
        found = collected(pieces, params, settings, group)
        self._take(found, self._finished(found, pieces, group))

    def _take(self, found: Collected, blocks: Sequence[Block]) -> None:
        self._begin(found.params, blocks, found.loss, found.gradient)
        self.uncovered = tuple(name for name in self.layout.names if name in found.loose)

    def _add(self, penalty: Hessian) -> None:
        self._blocks = penalized(self.name, self._open(), penalty)
        self.loss, self.gradient = self.loss + penalty.loss, self.gradient + penalty.gradient

    def _finished(
        self, found: Collected, pieces: Iterable[Piece], group: Group | None
    ) -> tuple[Block, ...]:
        return found.blocks()

    def averaged(self, newer: Self, decay: float) -> Self:
        """Running averages of the factors: decay * these + (1 - decay) * those of `newer`.

        As an optimizer keeps them over its steps (arXiv 1503.05671, section 5). Loss and gradient
        are those of `newer`.

        Raises:
            ValueError: `decay` lies outside [0, 1], the two have different blocks, or eigenvalues
                corrected in different bases (see `EigenvalueCorrected.in_basis_of`).
        """
        result = copy(newer)
        result._blocks = averaged(self.name, self._open(), newer._open(), decay)
        return result

    def state_dict(self) -> dict[str, Any]:
        """A copy in plain tensors, lists, strings and numbers, for `from_state_dict`.

        `torch.load` reads it with weights_only=True.
        """
        return {
            "layout": saved_layout(self.layout),
            "blocks": [saved_block(block) for block in self._open()],
            "loss": self.loss,
            "gradient": self.gradient.clone(),
            "uncovered": list(self.uncovered),
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """The operator that `state_dict` wrote down; the state is copied."""
        operator = cls.__new__(cls)
        blocks = [restored_block(each) for each in state["blocks"]]
        layout = restored_layout(state["layout"], blocks)
        operator._hold(layout, blocks, state["loss"], state["gradient"].clone())
        operator.uncovered = tuple(state["uncovered"])
        return operator


class Pieces:
    """The batches of a problem as pieces, each time it is gone through.

    Args:
        problem: the model, its loss and its data.
        reduction: what the loss does over a batch.
        positions: as earlier evaluations found them; None to find them anew in each batch.
    """

    def __init__(
        self, problem: Problem, reduction: Reduction, positions: Positions | None = None
    ) -> None:
        self._problem, self._reduction, self._positions = problem, reduction, positions

    def __iter__(self) -> Iterator[Piece]:
        """In the order of the data."""
        for weight, term in self._problem.terms():
            share = 1.0 if self._reduction == "sum" else 1 / term.samples
            count = length_of(term)
            yield Piece(
                term.output, term.loss_of_output, count, weight, share, positions=self._positions
            )


def check_first(name: str, problem: Problem, model: nn.Module) -> None:
    """Evaluate the first batch's loss twice.

    Raises:
        ValueError: the two differ by more than rounding; the message names the first module whose
            output does.
    """
    _, term = next(problem.terms())
    evaluate = partial(term.loss, problem.params)
    with twice_differentiable():
        first, second = float(evaluate().detach()), float(evaluate().detach())
    unit = max(torch.finfo(p.dtype).eps for p in problem.params.values())
    if not abs(first - second) <= SUMMING * unit * max(abs(first), abs(second)):
        raise ValueError(
            f"{name}: two evaluations of the loss at the same parameters gave {first:.9g} and "
            f"{second:.9g}. {culprit(evaluate, model)} Make it repeat itself, or pass check=False."
        )


def length_of(term: Term) -> int | None:
    """The number of samples that a batch's inputs have; None if they have no length."""
    tensors = [x for x in tree_leaves(term.batch.inputs) if isinstance(x, Tensor) and x.dim()]
    return len(tensors[0]) if tensors else None


def checked(settings: Settings, name: str) -> Settings:
    """`settings`, if each is of the kinds it may be.

    Raises:
        ValueError: one is not.
    """
    for option, value, allowed in (
        ("kind", settings.kind, KINDS),
        ("sharing", settings.sharing, ("expand", "reduce")),
    ):
        if value not in allowed:
            raise ValueError(f"{name}({option}={value!r}): choose one of {', '.join(allowed)}.")
    for option, number, least in (("draws", settings.draws, 1), ("full", settings.full, 0)):
        if number < least:
            raise ValueError(f"{name}({option}={number}): give at least {least}.")
    if settings.precision is not None and not settings.precision.is_floating_point:
        raise ValueError(f"{name}(precision={settings.precision}): give a floating point type.")
    return settings
