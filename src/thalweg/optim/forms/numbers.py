"""Writing down what a formula computes of its hyperparameters, such as 1 - b1**t.

A `Number` is a float that remembers how it came about. A formula that is run on numbers leaves on
their `Ledger` each sum that led to a result, and each question that it asked of them (`if momentum`
or `rho > 5`) with the answer. Played again with other hyperparameters, the ledger gives the new
results at a tenth of the cost of running the formula, as long as every answer is the same. A `Held`
does the same for state that is one number, which is a tensor and rounds as tensors do.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx

from thalweg.optim.forms.batch import Operand


class Ledger:
    """The sums and the questions of one run."""

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.questions: list[fx.Node] = []
        self.answers: list[Any] = []

    def entry(self, value: float) -> Number:
        """A hyperparameter; all of them come before the first sum."""
        return Number(value, self, self.placeholder())

    def held(self, value: Tensor) -> Held:
        """State that is one number; it comes after the hyperparameters, before the first sum."""
        return Held(value, self, self.placeholder())

    def placeholder(self) -> fx.Node:
        """One more argument of the function to be."""
        return self.graph.placeholder(f"x{len(self.graph.nodes)}")

    def sum(self, func: Callable[..., Any], args: tuple[Any, ...], **named: Any) -> fx.Node:
        """Write a sum down."""
        named = {name: node(x) for name, x in named.items()}
        return self.graph.call_function(func, tuple(map(node, args)), named)

    def ask(self, func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Answer a question, and write both down."""
        answer = func(*map(plain, args))
        self.questions.append(self.sum(func, args))
        self.answers.append(answer)
        return answer

    def close(self, *results: Sequence[Any]) -> Callable[..., Any]:
        """The function from the entries to the answers and each sequence of results, as lists."""
        self.graph.output((self.questions, *([node(x) for x in xs] for xs in results)))
        forward: Callable[..., Any] = fx.GraphModule({}, self.graph).forward
        return forward


class Number(float):
    """A float that a ledger knows. Its arithmetic is a float's."""

    ledger: Ledger
    node: fx.Node

    def __new__(cls, value: float, ledger: Ledger, node: fx.Node) -> Number:
        """The number `value`, which stands in the ledger as `node`."""
        number = super().__new__(cls, value)
        number.ledger, number.node = ledger, node
        return number

    def pinned(self) -> float:
        """The plain value, for a program that holds for no other."""
        self.ledger.ask(operator.eq, (self, float.__float__(self)))
        return float.__float__(self)

    def __float__(self) -> float:
        return self.pinned()

    def __int__(self) -> int:
        return int(self.pinned())

    def __trunc__(self) -> int:
        return int(self.pinned())

    def __bool__(self) -> bool:
        return bool(self.ledger.ask(operator.truth, (self,)))

    __hash__ = float.__hash__


class Held(Operand):
    """A tensor of one number that a ledger knows. Its arithmetic is a tensor's."""

    def __init__(self, value: Tensor, ledger: Ledger, node: fx.Node) -> None:
        self.value, self.ledger, self.node = value, ledger, node

    @classmethod
    def run(cls, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute, and write it down; what other operands are in is theirs to do."""
        every = (*args, *kwargs.values())
        if any(isinstance(x, Operand) and not isinstance(x, Held) for x in every):
            return NotImplemented
        value = func(*map(plain, args), **{name: plain(x) for name, x in kwargs.items()})
        if not isinstance(value, Tensor):
            raise TypeError(f"{func} of state that is one number gives {type(value).__name__}")
        ledger = next(x.ledger for x in every if isinstance(x, Held))
        return Held(value, ledger, ledger.sum(func, args, **kwargs))

    def item(self) -> Number:
        """The value as a number."""
        return Number(self.value.item(), self.ledger, self.ledger.sum(Tensor.item, (self,)))

    def __float__(self) -> float:
        return float(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())


def plain(x: Any) -> Any:
    """A number as a float, and held state as a tensor, that no ledger knows."""
    if isinstance(x, Held):
        return x.value
    return float.__float__(x) if isinstance(x, Number) else x


def node(x: Any) -> Any:
    """What stands for a number in its ledger."""
    return x.node if isinstance(x, (Number, Held)) else x


def _written(func: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    def calculate(self: Number, *others: Any) -> Any:
        if not all(isinstance(x, (float, int)) for x in others):
            return NotImplemented  # a tensor's own arithmetic takes over
        args = (*others, self) if reflected else (self, *others)
        return Number(func(*map(plain, args)), self.ledger, self.ledger.sum(func, args))

    return calculate


def _asked(func: Callable[..., Any]) -> Callable[..., Any]:
    def compare(self: Number, other: Any) -> Any:
        if not isinstance(other, (float, int)):
            return NotImplemented
        return self.ledger.ask(func, (self, other))

    return compare


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(Number, f"__{_name}__", _written(getattr(operator, _name)))
    setattr(Number, f"__r{_name}__", _written(getattr(operator, _name), reflected=True))
for _name in ("neg", "abs"):
    setattr(Number, f"__{_name}__", _written(getattr(operator, _name)))
for _name in ("lt", "le", "eq", "ne", "gt", "ge"):
    setattr(Number, f"__{_name}__", _asked(getattr(operator, _name)))
