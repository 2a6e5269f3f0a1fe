"""Parameters that cannot be stepped as they stand, and what stands in for them.

Of a sharded parameter this process holds a part; of a sparse gradient only some rows are there. For
the time of a step a plain tensor takes the parameter's place in its group, with a gradient and
state that fit, and the engine runs on it as on any other. What it wrote is then given back. Where
all parameters are plain and all gradients dense, nothing here is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from thalweg.optim.forms.rows import Dense, Rows, is_sparse
from thalweg.optim.forms.sharded import Part, Whole, everywhere, is_sharded, whole
from thalweg.optim.options.precision import Group
from thalweg.optim.rule import Rule

if TYPE_CHECKING:
    from thalweg.optim.engine import Engine

Own = dict[str, Any]

STRIDED = torch.strided
PLAIN = frozenset({Tensor, torch.nn.Parameter})  # the types of most parameters; none is sharded


class StandIn(Protocol):
    """A tensor with a gradient, and the state that goes with it."""

    tensor: Tensor
    own: Own

    def give_back(self, state: Own) -> None:
        """Write what the step has changed into the parameter and its state."""


class StandIns:
    """Steps by an engine with stand-ins where they are needed.

    Args:
        engine: which runs the rule.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        offsets = any("offset" in s.asks for s in engine.rule.slots)  # which count all coordinates
        self.by_parts = "pointwise" in engine.rule.facts and not offsets
        self.kind = engine.options.state_dtype
        self.kept: dict[int, Own] = {}  # the engine looks for the same dictionary at every step

    def step(self, groups: Sequence[Group], state: Any) -> None:
        """As `Engine.step`."""
        if not self._needed(groups):
            return self.engine.step(groups, state)
        own = [list(group["params"]) for group in groups]
        pairs = [(p, self._for(p, group, state)) for group in groups for p in group["params"]]
        given = iter([p if one is None else one.tensor for p, one in pairs])
        needed = [(p, one) for p, one in pairs if one is not None]
        try:
            for group, params in zip(groups, own, strict=True):
                group["params"] = [next(given) for _ in params]
            state.update({one.tensor: one.own for _, one in needed})
            self.engine.across = Across(pairs) if self._split(needed) else None
            self.engine.step(groups, state)
        finally:
            for group, params in zip(groups, own, strict=True):
                group["params"] = params
            for _, one in needed:
                state.pop(one.tensor, None)
                one.tensor.grad = None
        for p, one in needed:
            one.give_back(state[p] if one.own else {})

    def _needed(self, groups: Sequence[Group]) -> bool:
        params = [p for group in groups for p in group["params"]]
        if not PLAIN.issuperset(map(type, params)) and any(map(is_sharded, params)):
            return True
        return any([g.layout is not STRIDED for p in params if (g := p.grad) is not None])

    def _for(self, p: Any, group: Group, state: Any) -> StandIn | None:
        """What is to stand in for a parameter; None where it can stand for itself."""
        rule, own = self.engine.rule, state.get(p, {})
        if p.grad is None:
            return None
        if is_sharded(p):
            kept = self.kept.setdefault(id(p), {})
            return Part(p, rule, kept, own) if self.by_parts else Whole(p, rule, own)
        if rule.rows is None or not is_sparse(p.grad):
            return None
        return Rows(p, rule, group, state[p], self.kind) if rule.rows(group) else Dense(p, own)

    def _split(self, needed: Sequence[tuple[Any, StandIn]]) -> bool:
        return any(isinstance(one, Part) for _, one in needed)


class Across:
    """Lets numbers of all parameters together be numbers of all their parts.

    Args:
        pairs: all parameters, with what stands in for them.
    """

    def __init__(self, pairs: Sequence[tuple[Any, StandIn | None]]) -> None:
        self.parts = {one.tensor: one for _, one in pairs if isinstance(one, Part)}
        tensors = (p if one is None else one.tensor for p, one in pairs)
        self.rank = {p: at for at, p in enumerate(tensors)}
        self.like = next(one.p for one in self.parts.values())

    def summaries(
        self, rule: Rule, params: Sequence[Tensor], known: Own, columns: dict[str, list[Any]]
    ) -> dict[str, Any]:
        """The rule's summaries, the same in every process.

        Args:
            rule: whose.
            params: as the engine has them.
            known: hyperparameters.
            columns: what summaries may ask for, an entry for each parameter.
        """
        # Every process must ask for sums in one order, whatever lanes its parts fall into.
        order = sorted(range(len(params)), key=lambda at: self.rank[params[at]])
        seen = {k: [self._whole(params[i], xs[i]) for i in order] for k, xs in columns.items()}
        return {n: whole(over.of({**known, **seen})) for n, over in rule.summaries.items()}

    def _whole(self, p: Tensor, x: Any) -> Any:
        if p in self.parts:
            return self.parts[p].seen_whole(x)
        return everywhere(x, self.like) if isinstance(x, Tensor) and x.shape == p.shape else x


def may_be_needed(rule: Rule, groups: Sequence[Group]) -> bool:
    """Whether stand-ins are to be looked for at every step."""
    params = chain.from_iterable(group["params"] for group in groups)
    return rule.rows is not None or any(map(is_sharded, params))
