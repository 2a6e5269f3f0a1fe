"""Sparse gradients: the rows of a table that a batch has touched, and nothing else.

Some rules leave a row that has no gradient as it is, with its state: plain descent and AdaGrad.
Others decay their state, and are made for tables by leaving that out: SparseAdam. Such rules say so
(`rows` of `thalweg.optim.rule.rule`), and are run on the touched rows alone, gathered before the
step and put back after it: a step then costs what the batch touches, not what the table holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.rule import Rule

Own = dict[str, Any]


def is_sparse(g: Any) -> bool:
    """Whether a gradient is there and is not strided."""
    return g is not None and g.layout is not torch.strided


class Rows:
    """The rows of a parameter that have a gradient, with their rows of the state.

    Args:
        p: a parameter with a sparse gradient, of PyTorch's COO layout.
        rule: one that says when it may be run on rows.
        group: the parameter's.
        state: the parameter's; started where it is missing.
        kind: the type that state starts in; the parameter's if None.
    """

    def __init__(
        self,
        p: Tensor,
        rule: Rule,
        group: Mapping[str, Any],
        state: Own,
        kind: torch.dtype | None,
    ) -> None:
        g: Any = p.grad
        g = g.coalesce()
        self.p, self.at = p.detach(), tuple(g.indices())
        start(p, rule, group, state, kind)
        self.shaped = [s.name for s in rule.slots if not s.scalar and s.name in state]
        self.tensor: Tensor = self.p[self.at]
        self.tensor.grad = g.values()
        self.own: Own = {**state, **{name: state[name][self.at] for name in self.shaped}}

    def give_back(self, state: Own) -> None:
        """Put the rows back where they belong."""
        self.p.index_put_(self.at, self.tensor)
        for name in self.shaped:
            state[name].index_put_(self.at, self.own[name])
        for name, x in self.own.items():  # a count or a scalar that the step has started
            state.setdefault(name, x)


class Dense:
    """A parameter whose sparse gradient is made dense, for a step that moves every row.

    Args:
        p: a parameter with a sparse gradient.
        state: the parameter's.
    """

    def __init__(self, p: Tensor, state: Own) -> None:
        self.tensor: Tensor = p.detach()
        self.tensor.grad = p.grad.to_dense() if p.grad is not None else None
        self.own: Own = {n: x.to_dense() if is_sparse(x) else x for n, x in state.items()}

    def give_back(self, state: Own) -> None:
        """Hand over what the step has started; PyTorch's own state may have been sparse."""
        state.update(self.own)


def start(
    p: Tensor, rule: Rule, group: Mapping[str, Any], state: Own, kind: torch.dtype | None
) -> None:
    """Give the whole table the state of which the step will see some rows."""
    known = {**group, "offset": 0, "param": p.detach()}
    for s in rule.slots:
        if s.is_open(group) and s.name not in state and not s.scalar:
            value = s.begin(p.detach().to(kind or p.dtype), known)
            if value is not None:
                state[s.name] = value
