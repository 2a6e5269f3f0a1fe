"""An operator over a whole data set: the weighted sum of its batches' operators.

    A = sum_b w_b A_b,        w_b = samples_b / total for a loss that is a mean over its batch

The loss and the gradient are summed with the same weights. A batch's operator keeps what makes its
products cheap (a graph). As many batches as a memory budget allows keep theirs; the others are made
anew for every product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, final

import torch
from torch import Tensor

from thalweg.operators.operator import ParameterOperator

# A part that is made again repeats its loss to the rounding of sums in another order.
REPEATS_TO = 1e3


class Part(NamedTuple):
    """One term of the sum: its weight, and how its operator is made."""

    weight: float
    make: Callable[[], ParameterOperator]


Parts = Callable[[], Iterator[Part]]


@final
class Average(ParameterOperator):
    """sum_b w_b A_b.

    Args:
        parts: gives the parts, at least one, from the first to the last, each time it is called.
        memory: bytes that the parts may keep together; they keep theirs from the first on.

    Attributes:
        kept: how many of the parts keep what they need for products.
        count: parts in all.

    Raises:
        ValueError: a part that was made again has another loss than the first time.

    Cost: the products of all parts, and the making of those that are not kept.
    """

    def __init__(self, parts: Parts, *, memory: float) -> None:
        self._parts = parts
        self._kept: list[tuple[float, ParameterOperator]] = []
        self._losses: list[float] = []
        self._closed = False
        for part in parts():
            self._take(part, memory)
        self.count = len(self._losses)

    def _take(self, part: Part, memory: float) -> None:
        """Make a part for the first time: add it, and keep it if all before it were kept."""
        operator = part.make()
        if not self._losses:
            self._begin(operator)
        self.loss += part.weight * operator.loss
        self.gradient += part.weight * operator.gradient
        self.facts &= operator.facts
        if len(self._kept) == len(self._losses) and self.held + operator.held <= memory:
            self._kept.append((part.weight, operator))
        else:
            operator.close()
        self._losses.append(operator.loss)

    def _begin(self, first: ParameterOperator) -> None:
        self.name, self.layout, self.facts = first.name, first.layout, first.facts
        self.loss, self.gradient = 0.0, torch.zeros_like(first.gradient)

    @property
    def held(self) -> int:
        """Bytes that the kept parts hold for their products."""
        return sum(operator.held for _, operator in self._kept)

    @property
    def kept(self) -> int:
        """How many parts are kept."""
        return len(self._kept)

    def _operators(self) -> Iterator[tuple[float, ParameterOperator]]:
        """Weight and operator of each part; those that are not kept live for one round."""
        if self._closed:
            raise RuntimeError(
                f"{self.name} @ v after close(): what the products need was freed. Take them "
                "inside the with block, or build the operator again."
            )
        if len(self._kept) == self.count:
            yield from self._kept
            return
        number = -1
        for number, part in enumerate(self._parts()):
            if number < len(self._kept):
                yield self._kept[number]
                continue
            with part.make() as operator:
                check_repeated(self.name, number, self._losses, operator)
                yield part.weight, operator
        if number + 1 < self.count:
            raise ValueError(
                f"{self.name} @ v: the data has {number + 1} of its {self.count} batches."
            )

    def _product(self, vector: Tensor) -> Tensor:
        return self._products(vector)

    def _products(self, vectors: Tensor) -> Tensor:
        total = torch.zeros_like(vectors)
        for weight, operator in self._operators():
            total += weight * (operator @ vectors)
        return total

    @property
    def place(self) -> Tensor:
        """The parameters, flat, shape (n,)."""
        return next(operator.place.clone() for _, operator in self._operators())

    def loss_at(self, by: Tensor) -> float:
        """The loss of all parts at the parameters plus `by`."""
        return sum(weight * operator.loss_at(by) for weight, operator in self._operators())

    def gradient_at(self, by: Tensor) -> Tensor:
        """The gradient of all parts at the parameters plus `by`."""
        total = torch.zeros_like(self.gradient)
        for weight, operator in self._operators():
            total += weight * operator.gradient_at(by)
        return total

    def exact_diagonal(self) -> Tensor | None:
        """sum_b w_b diag(A_b), where all parts know theirs."""
        total = torch.zeros_like(self.gradient)
        for weight, operator in self._operators():
            diagonal = operator.exact_diagonal()
            if diagonal is None:
                return None
            total += weight * diagonal
        return total

    def exact_trace(self) -> float | None:
        """sum_b w_b tr A_b, where all parts know theirs."""
        total = 0.0
        for weight, operator in self._operators():
            trace = operator.exact_trace()
            if trace is None:
                return None
            total += weight * trace
        return total

    def close(self) -> None:
        """Free what the parts keep; `loss` and `gradient` stay, products are refused."""
        for _, operator in self._kept:
            operator.close()
        self._kept, self._closed = [], True


def check_repeated(name: str, number: int, losses: list[float], part: ParameterOperator) -> None:
    """Refuse a part that is not what it was when it was made first.

    Raises:
        ValueError: there are more parts than before, or its loss is another one.
    """
    if number >= len(losses):
        raise ValueError(f"{name} @ v: the data has more than its {len(losses)} batches now.")
    before = losses[number]
    allowed = REPEATS_TO * torch.finfo(part.dtype).eps * max(abs(before), abs(part.loss))
    if abs(part.loss - before) > allowed:
        raise ValueError(
            f"{name} @ v: batch {number} has the loss {part.loss:.9g}; it had {before:.9g} when "
            "the operator was built. The data must be the same in every pass: augmentation in "
            "worker processes, or a sampler with a state of its own, changes it. Pass list(loader)."
        )
