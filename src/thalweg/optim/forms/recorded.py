"""Steps that autograd records, for gradients through training: `differentiable=True`.

The formula is run on tensors that carry their graph, one parameter after the other; a formula is
pure, so that nothing which autograd has kept is overwritten. The parameter is then written to as
autograd allows, in place, as PyTorch does: it must not be a leaf that requires a gradient, so give
the optimizer a clone, and compute each step's loss on a clone of that, which stays as it is. Its
state is exchanged for new tensors, which carry the graph on to the next step.

Hyperparameters may be tensors that require a gradient too. PyTorch's compound functions (`add` with
`alpha`, `addcdiv` with `value`) take numbers there, which have no gradient; for such a
hyperparameter they are written out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from thalweg.optim.forms.batch import Operand
from thalweg.optim.forms.compiled import PLAIN
from thalweg.optim.forms.lanes import Lane
from thalweg.optim.forms.vectors import real
from thalweg.optim.options import Options
from thalweg.optim.options.precision import Group

if TYPE_CHECKING:
    from thalweg.optim.engine import Engine


def refuse(call: str, form: str, options: Options) -> None:
    """Refuse what cannot be recorded.

    Raises:
        ValueError: a form that is not `each`, or a rounding.
    """
    said = {"form": form, "rounding": options.rounding, "state_dtype": options.state_dtype}
    for key, allowed in (("form", ("auto", "each")), ("rounding", ("nearest",))):
        if said[key] not in allowed:
            raise ValueError(
                f"{call}(differentiable=True, {key}={said[key]!r}): steps are recorded one "
                f"parameter at a time, without rounding of their own. Leave {key} out."
            )
    if options.state_dtype is not None:
        raise ValueError(
            f"{call}(differentiable=True, state_dtype={options.state_dtype}): recorded state has "
            "the parameter's type. Leave state_dtype out."
        )


class Task(NamedTuple):
    """What a step is to do for one parameter."""

    p: Tensor
    inputs: list[Any]
    hyper: dict[str, Any]


class Recorded:
    """Steps by an engine's rule under autograd.

    Args:
        engine: for its rule, its name, and how state starts.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.rule = engine, engine.rule

    def step(self, groups: Sequence[Group], state: Any) -> None:
        """As `Engine.step`, with the graph.

        Raises:
            RuntimeError: a parameter is a leaf that requires a gradient; a gradient is sparse; a
                hyperparameter requires a gradient and the rule is not pointwise; or the rule
                keeps a number, which has no gradient, where one would be needed.
        """
        self._refuse_leaves(groups)
        self._start(groups, state)
        lanes = zip(groups, self.engine.lanes(groups, state), strict=True)
        started = [(group, lane) for group, own in lanes for lane in own]
        with torch.enable_grad():
            tasks = [
                Task(p, self._inputs(lane, at, state), self._settings(group, lane.t))
                for group, lane in started
                for at, p in enumerate(lane.params)
            ]
            summaries = self._summaries(tasks) if tasks else {}
            for task in tasks:
                values = self._run(task.inputs, {**task.hyper, **summaries})
                self._write(task.p, values, state)

    def _start(self, groups: Sequence[Group], state: Any) -> None:
        """Start state with the graph, which what starts as a copy of the parameter has."""
        offset = 0
        for group in groups:
            for p in group["params"]:
                known = {**group, "offset": offset, "param": p.detach()}
                for s in self.rule.slots if p.grad is not None else ():
                    fresh = s.is_open(group) and s.name not in state.get(p, {})
                    if fresh and s.start is not None and not s.scalar:
                        with torch.enable_grad():
                            value = s.begin(p.clone(), known)
                        state[p].update({} if value is None else {s.name: value})
                offset += p.numel()

    def _inputs(self, lane: Lane, at: int, state: Any) -> list[Any]:
        """p, g and the slots, with their graphs; None where the formula is to start a slot."""
        p = lane.params[at]
        slots = zip(self.rule.slots, lane.sources[1:], strict=True)
        kept = [
            state[p].get(s.name) if s.scalar or source is not None else None for s, source in slots
        ]
        return [real(p.clone()), real(p.grad), *map(real, kept)]

    def _settings(self, group: Group, t: float | None) -> dict[str, Any]:
        hyper = {name: _scalar(group[name]) for name in self.rule.hyperparameters}
        return hyper if t is None else {**hyper, "t": t}

    def _summaries(self, tasks: Sequence[Task]) -> dict[str, Any]:
        names = ("p", "g", *(s.argument for s in self.rule.slots))
        columns = zip(*(task.inputs for task in tasks), strict=True)
        seen = dict(zip(names, map(list, columns), strict=True))
        known = {**tasks[0].hyper, **seen}
        self._refuse_numbers({**known, **{k: list(map(_cut, xs)) for k, xs in seen.items()}})
        return {name: over.of(known) for name, over in self.rule.summaries.items()}

    def _refuse_numbers(self, known: dict[str, Any]) -> None:
        """Refuse a summary that comes as a number: it has no graph."""
        for name, over in self.rule.summaries.items():
            value = over.of(known)
            parts = value if isinstance(value, (tuple, list)) else (value,)
            if not all(isinstance(x, Tensor) for x in parts):
                raise RuntimeError(
                    f"{self.engine.name}(differentiable=True): {self.rule.name} makes {name} of "
                    "all parameters as a number, through which no gradient flows. Train without "
                    "differentiable."
                )

    def _run(self, inputs: Sequence[Any], hyper: dict[str, Any]) -> Sequence[Any]:
        if not any(map(_wants_gradient, hyper.values())):
            return list(self.rule.formula(*inputs, **hyper))
        if "pointwise" not in self.rule.facts:
            raise RuntimeError(
                f"{self.engine.name}(differentiable=True): a hyperparameter requires a gradient, "
                f"and {self.rule.name} takes its hyperparameters as numbers. Detach it."
            )
        numbers = {name: _numbers(x) for name, x in hyper.items()}
        return list(map(_bare, self.rule.formula(*map(_written_out, inputs), **numbers)))

    def _write(self, p: Tensor, values: Sequence[Any], state: Any) -> None:
        new, *kept = values
        p.copy_(torch.view_as_complex(new) if p.is_complex() else new)
        for s, value in zip(self.rule.slots, kept, strict=True):
            if value is None:
                continue
            if not s.scalar:
                state[p][s.name] = torch.view_as_complex(value) if p.is_complex() else value
                continue
            if _wants_gradient(value):
                raise RuntimeError(
                    f"{self.engine.name}(differentiable=True): {self.rule.name} keeps {s.name} as "
                    "a number, through which no gradient flows. Train without differentiable."
                )
            old = state[p][s.name]
            state[p][s.name] = torch.as_tensor(value, dtype=old.dtype)

    def _refuse_leaves(self, groups: Sequence[Group]) -> None:
        for group in groups:
            for p in group["params"]:
                if p.is_leaf and p.requires_grad and p.grad is not None:
                    raise RuntimeError(
                        f"{self.engine.name}(differentiable=True).step(): a parameter is a leaf "
                        "that requires a gradient, which autograd does not let be changed. Make "
                        "the optimizer of clones: p.clone(), with its gradient in .grad."
                    )


class Number(float):
    """A number with its graph: what a hyperparameter that requires a gradient is to a formula.

    PyTorch's functions insist on a number where they take one, and this is one.
    """

    tensor: Tensor

    def __new__(cls, tensor: Tensor) -> Number:
        """A number of a 0-d tensor."""
        number = super().__new__(cls, float(tensor.detach()))
        number.tensor = tensor
        return number

    def __neg__(self) -> Number:
        return Number(-self.tensor)


def _give_arithmetic(name: str) -> None:
    operation = getattr(operator, f"__{name}__")

    def forward(self: Number, other: Any) -> Any:
        known = isinstance(other, (int, float, Tensor))
        return Number(operation(self.tensor, _bare(other))) if known else NotImplemented

    def backward(self: Number, other: Any) -> Any:
        known = isinstance(other, (int, float, Tensor))
        return Number(operation(_bare(other), self.tensor)) if known else NotImplemented

    setattr(Number, f"__{name}__", forward)
    setattr(Number, f"__r{name}__", backward)


for _name in ("add", "sub", "mul", "truediv", "pow"):
    _give_arithmetic(_name)


class WrittenOut(Operand):
    """A tensor whose compound functions are written out where a number has a graph."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    @classmethod
    def run(cls, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do one operation, on the tensors themselves."""
        graphed = any(isinstance(x, Number) for x in kwargs.values())
        written = PLAIN.get(func, func) if graphed else func
        return cls(written(*map(_bare, args), **{k: _bare(x) for k, x in kwargs.items()}))


def _bare(x: Any) -> Any:
    return x.tensor if isinstance(x, (Number, WrittenOut)) else x


def _written_out(x: Any) -> Any:
    return WrittenOut(x) if isinstance(x, Tensor) else x


def _numbers(x: Any) -> Any:
    """Hyperparameters with a graph as numbers with a graph."""
    if isinstance(x, (tuple, list)):
        return tuple(map(_numbers, x))
    return Number(x) if _wants_gradient(x) else x


def _cut(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def _scalar(x: Any) -> Any:
    """A hyperparameter as a formula wants it, with its graph."""
    if isinstance(x, (tuple, list)):
        return tuple(map(_scalar, x))
    return x.squeeze() if isinstance(x, Tensor) else x


def _wants_gradient(x: Any) -> bool:
    if isinstance(x, (tuple, list)):
        return any(map(_wants_gradient, x))
    return isinstance(x, Tensor) and x.requires_grad
