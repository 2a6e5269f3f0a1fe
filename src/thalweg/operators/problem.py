r"""What curvature is asked of: a model, its loss, its data, and which parameters vary.

    loss of all the data  =  sum_b w_b loss(model(inputs_b), targets_b)  +  penalty(parameters)

`Problem` resolves the arguments that the operators' `of_model` share (`Options`), and hands out the
sum's terms: each batch as functions of the parameters alone. Everything is taken as it is when the
problem is made: parameters, buffers, modes and random state. Whatever the program does later, the
products stay those of that moment.

Random draws: the first batch is evaluated as the model itself would evaluate it then; each further
batch has draws of its own. Batch normalization in train mode takes each batch's own statistics: the
matrix is that of the sum of the batches' losses, as training sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict, final

from torch import Tensor, nn

from thalweg.operators import memory as memory_of
from thalweg.operators.average import Average, Part
from thalweg.operators.batches import Batch, Batches, samples_of
from thalweg.operators.checks import check_repeats, check_symmetric
from thalweg.operators.distributed import (
    AcrossRanks,
    Group,
    group_of,
    plain,
    rank_in,
    together,
    total,
)
from thalweg.operators.layout import check_params
from thalweg.operators.model_loss import FrozenModel, LossOfParameters, trainable_parameters
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.reduction import Reduction, counter_of, reduction_of
from thalweg.operators.snapshot import Snapshot, whole

Loss = Callable[[Any, Any], Tensor]
Selection = Iterable[str] | Callable[[str], bool] | Mapping[str, Tensor] | None
Penalty = Callable[[dict[str, Tensor]], Tensor]


class Options(TypedDict, total=False):
    """What `of_model` takes by keyword, whatever the operator; `Problem` says what each means."""

    params: Selection
    penalty: Penalty | None
    reduction: Reduction | None
    samples: Callable[[Batch], float] | None
    memory: float | None
    check: bool
    group: Group | None


@final
@dataclass(frozen=True)
class Term:
    """One batch's loss, as functions of the parameters that are the same at every call.

    Attributes:
        params: the parameters that vary, at the place where curvature is asked.
        batch: its inputs and targets.
        samples: how many samples it has.
    """

    params: Snapshot
    batch: Batch
    samples: float
    frozen: FrozenModel
    loss_function: Loss
    stream: int

    def loss(self, params: Mapping[str, Tensor]) -> Tensor:
        """The batch's loss, a scalar."""
        with self.frozen.restarted(self.stream) as call:
            return self.loss_function(call(params, self.batch.inputs), self.batch.targets)

    def output(self, params: Mapping[str, Tensor]) -> Any:
        """The model's output, of any structure."""
        with self.frozen.restarted(self.stream) as call:
            return call(params, self.batch.inputs)

    def loss_of_output(self, output: Any) -> Tensor:
        """The loss of an output, a scalar."""
        return self.loss_function(output, self.batch.targets)


Make = Callable[[Term], ParameterOperator]
MakeOfPenalty = Callable[[LossOfParameters, Snapshot], ParameterOperator]


@final
class Problem:
    """A model's loss over data, with some of its parameters as variables.

    Args:
        model: in the mode (train or eval) whose loss is meant; it is left as it is.
        loss: from the model's output and a batch's targets to a scalar tensor.
        data: one batch (inputs, targets), or a list or `DataLoader` of batches; see `Batches`.
        params: which parameters vary: None for all that require gradients, their names, a
            predicate on their names (frozen ones never vary so), or names to tensors, which then
            are the place where curvature is asked. The others are constants.
        penalty: from all the model's parameters by name to a scalar, added once to the loss of
            all the data.
        reduction: what the loss does over a batch, "mean" or "sum"; None reads it from the loss
            object, and takes a function that does not say for a mean.
        samples: from a batch to the number of its samples; see `Batches`. By default, for cross
            entropy, to the weight of the targets that count.
        memory: bytes that may be kept for products; None for a quarter of what is free.
        check: evaluate the first batch's loss twice and take two products, to see that the loss
            repeats itself and the matrix is symmetric; and what else the operator rests on.
        group: the processes whose data counts, each with its own share in `data`; by default those
            that train the model together (DDP, FSDP2).

    Attributes:
        params: those that vary, where they were.
        batches: the data, its `total` counted over the group.
        reduction, group: as they were resolved.
        check: whether the next operator is still to be checked; the first one is.

    Raises:
        TypeError, ValueError: an argument is not of the kinds above, or no parameter varies.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: Any,
        *,
        params: Selection = None,
        penalty: Penalty | None = None,
        reduction: Reduction | None = None,
        samples: Callable[[Batch], float] | None = None,
        memory: float | None = None,
        check: bool = True,
        group: Group | None = None,
    ) -> None:
        self.group = group_of(model) if group is None else group
        model = plain(model)
        with together(self.group):
            self.reduction = reduction or reduction_of(loss)
            self.batches = Batches(data, reduction=self.reduction, samples=samples or counter(loss))
            chosen = selected(model, params)
            check_params(chosen)
        self.batches.total = total(self.batches.total, self.group)
        self.params = Snapshot.of(chosen)
        self._model, self._loss, self._penalty = model, loss, penalty
        self._memory, self.check = memory, check
        self._constants = constants(model, self.params)
        self._frozen = FrozenModel(model, self._constants)

    @property
    def memory(self) -> float:
        """Bytes that may be kept for products."""
        if self._memory is not None:
            return self._memory
        return memory_of.budget(next(iter(self.params.values())).device)

    def terms(self) -> Iterator[tuple[float, Term]]:
        """The batches' weights and losses, the data gone through once."""
        rank, ranks = rank_in(self.group)
        for number, (batch, samples, weight) in enumerate(self.batches):
            stream = number * ranks + rank
            yield weight, Term(self.params, batch, samples, self._frozen, self._loss, stream)

    @property
    def penalized(self) -> bool:
        """Whether there is a penalty."""
        return self._penalty is not None

    def penalty(self, params: Mapping[str, Tensor]) -> Tensor:
        """The penalty, with the parameters that do not vary as constants."""
        if self._penalty is None:
            raise ValueError("this problem has no penalty.")
        value = self._penalty({**self._constants, **params})
        if isinstance(value, Tensor) and not value.requires_grad:
            # A constant, if it is one of parameters that do not vary; its derivatives are zero.
            return value + 0 * next(iter(params.values())).sum()
        return value

    def operator(self, make: Make, of_penalty: MakeOfPenalty) -> ParameterOperator:
        """The operator of the whole sum.

        Args:
            make: from a batch's term to its operator.
            of_penalty: from the penalty and the parameters to the operator to be added for it.

        Raises:
            ValueError: a check failed; see the argument of that name.
        """
        with together(self.group):
            local = self._local(make, of_penalty)
        return local if self.group is None else AcrossRanks(local, self.group)

    def _local(self, make: Make, of_penalty: MakeOfPenalty) -> ParameterOperator:
        """The operator of this process's share of the sum."""
        if not self.penalized and self._memory is None and len(self.batches) == 1:
            weight, term = next(self.terms())
            if weight == 1:
                return self._checked(make, term)
        return Average(partial(self._parts, make, of_penalty), memory=self.memory)

    def _parts(self, make: Make, of_penalty: MakeOfPenalty) -> Iterator[Part]:
        for weight, term in self.terms():
            yield Part(weight, partial(self._checked, make, term))
        rank, _ = rank_in(self.group)
        if self.penalized and rank == 0:
            yield Part(1.0, partial(of_penalty, self.penalty, self.params))

    def _checked(self, make: Make, term: Term) -> ParameterOperator:
        operator = make(term)
        if self.check:
            self.check = False  # once is enough
            check_repeats(operator, partial(term.loss, self.params), self._model)
            check_symmetric(operator)
        return operator


def selected(model: nn.Module, params: Selection) -> dict[str, Tensor]:
    """The parameters that vary, by name, tied ones once; see `Problem`.

    Raises:
        TypeError: `params` is none of the kinds that choose.
        ValueError: a name that the model does not have, or a tensor of another shape.
    """
    if params is None:
        return trainable_parameters(model)
    if callable(params):
        return {name: p for name, p in trainable_parameters(model).items() if params(name)}
    if isinstance(params, (str, Tensor)) or not isinstance(params, Iterable):
        raise TypeError(
            f"params is a {type(params).__name__}; give names of parameters, a predicate on "
            "names, or a dict of names to tensors."
        )
    own = first_names(model)
    chosen = params if isinstance(params, Mapping) else dict.fromkeys(params)
    check_names(chosen, own)
    known = dict(model.named_parameters())
    return {own[name]: known[own[name]] if p is None else p for name, p in chosen.items()}


def first_names(model: nn.Module) -> dict[str, str]:
    """From each name of a parameter to the one that stands for all its names (tied parameters)."""
    first: dict[int, str] = {}
    named = list(model.named_parameters(remove_duplicate=False))
    return {name: first.setdefault(id(p), name) for name, p in named}


def check_names(chosen: Mapping[str, Any], own: Mapping[str, str]) -> None:
    """Raise ValueError on a name that the model does not have."""
    unknown = [name for name in chosen if name not in own]
    if unknown:
        raise ValueError(
            f"params: the model has no parameter {unknown[0]!r}; it has {', '.join(own)}."
        )


def constants(model: nn.Module, variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that do not vary; copies of those that training may change."""
    return {
        name: whole(p).detach().clone() if p.requires_grad else whole(p)
        for name, p in model.named_parameters()
        if name not in variables
    }


def counter(loss: Loss) -> Callable[[Batch], float] | None:
    """From a batch to what `loss` takes its mean over, where the loss says; else None."""
    count = counter_of(loss)
    if count is None:
        return None

    def counted(batch: Batch) -> float:
        return count(batch.targets) if isinstance(batch.targets, Tensor) else samples_of(batch)

    return counted
