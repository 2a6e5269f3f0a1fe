"""Which parameters can share a call, and where their state stands.

A lane holds parameters of one group that agree in device, type, step count, scalar state and layout
of memory, with their gradients and state in columns. Sorting parameters into lanes costs more than
the step of a small network, so the lanes are kept, and each step only checks that they still hold:
the same parameters have a gradient, and everyone's memory, state and counts are as they were left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.forms.vectors import JOIN, as_one, order, real, stand_together, vectors
from thalweg.optim.rule import Slot

Column = list[Tensor] | None
VERSION = attrgetter("_version")
ADDRESS, CONTIGUOUS, STRIDE = Tensor.data_ptr, Tensor.is_contiguous, Tensor.stride
TYPE, LAYOUT = attrgetter("dtype"), attrgetter("layout")
STRIDED = torch.strided


@dataclass
class Lane:
    """Parameters that can share a call.

    A column is None where the rule keeps nothing; a slot that is filled for the first time has a
    target and no source.
    """

    layout: str  # "contiguous" or "dense": all can be seen as vectors; "any": they cannot
    t: float | None  # the parameters' common count of steps
    scalars: dict[int, Tensor] = field(default_factory=dict)  # their scalar state, by slot
    at: list[int] = field(default_factory=list)  # where they stand in their group
    params: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    sources: list[Column] = field(default_factory=list)  # p and the slots, before the step
    targets: list[Column] = field(default_factory=list)  # p and the slots, after it
    owned: list[dict[str, Any]] = field(default_factory=list)  # the parameters' state
    kept: dict[str, list[Tensor]] = field(default_factory=dict)  # what stands in it, by name
    counted: tuple[str, ...] = ()  # which of these are scalars
    table: Any = None  # where all of it stands, once `native` has looked

    def settled(self) -> Lane:
        """The lane with what follows from its columns, once these are complete."""
        self.watched = [*self.params, *chain.from_iterable(self.kept.values())]
        self.pointers = list(map(ADDRESS, self.watched))
        self.standing = [
            (own, name, x)
            for name, column in self.kept.items()
            for own, x in zip(self.owned, column, strict=True)
        ]
        # Numbers that were started together are one tensor: written to, and watched, at once.
        scalars = {name: xs for name, xs in self.kept.items() if name in self.counted}
        self.places = {name: _as_few(xs) for name, xs in scalars.items()}
        self.tracked = [x for xs in scalars.values() for x in _versioned(xs)]
        self.seal()
        self.ready = not any(
            source is None and target is not None
            for source, target in zip(self.sources, self.targets, strict=True)
        )
        self.vectors = list(vectors(self.sources, self.targets)) if self.layout != "any" else []
        self.elements = sum(p.numel() for p in self.params)
        self.complex = any(p.is_complex() for p in self.params)
        self.strides = list(map(STRIDE, self.params))
        self.small = all(p.numel() < JOIN for p in self.params)
        self.present = [column is not None for column in self.inputs]
        return self

    @property
    def inputs(self) -> list[Column]:
        """What a formula is given: p, g and the slots."""
        return [self.sources[0], self.gradients, *self.sources[1:]]

    def seal(self) -> None:
        """Note how often each scalar of the state has been written to."""
        self.versions = list(map(VERSION, self.tracked))

    def holds(self, state: Mapping[Any, Any], gradients: Sequence[Any]) -> bool:
        """Whether nothing has been moved, exchanged or recounted since the last step.

        Args:
            state: the optimizer's.
            gradients: of all parameters of the group.
        """
        own = self.owned
        return (
            self.ready  # otherwise a slot has been filled for the first time
            and list(map(ADDRESS, self.watched)) == self.pointers
            and (not own or all(map(is_, own, map(state.get, self.params))))
            and all([o.get(name) is x for o, name, x in self.standing])
            and list(map(VERSION, self.tracked)) == self.versions
            and self._fits([gradients[index] for index in self.at])
        )

    def _fits(self, own: list[Any]) -> bool:
        """Whether the lane's gradients lie as its parameters do."""
        if list(map(LAYOUT, own)).count(STRIDED) < len(own):
            return False
        if self.layout == "any":
            return True
        if list(map(TYPE, own)).count(self.params[0].dtype) < len(own):
            return False
        if self.layout == "contiguous":
            return all(map(CONTIGUOUS, own))
        return list(map(STRIDE, own)) == self.strides

    def renew(self, gradients: Sequence[Any]) -> None:
        """Take this step's gradients, of all parameters of the group, and read the new count."""
        own = [gradients[index] for index in self.at]
        self.gradients = list(map(real, own)) if self.complex or self.layout == "any" else own
        if self.t is not None:
            self.t = float(self.kept["step"][0])

    def put(self, index: int, name: str, value: Any) -> None:
        """Give every parameter of the lane a new value of a scalar."""
        value = torch.as_tensor(value, dtype=self.kept[name][0].dtype)
        places = self.places[name]
        torch._foreach_copy_(places, [value.expand_as(x) for x in places])
        self.scalars[index] = self.kept[name][0].clone()

    def at_its_age(self, hyper: dict[str, Any]) -> dict[str, Any]:
        """All that a formula takes besides tensors: hyperparameters, and `t` if it is counted."""
        return hyper if self.t is None else {**hyper, "t": self.t}


class Lanes:
    """The lanes of one group, kept from step to step.

    Args:
        slots: the rule's.
        counts_steps: whether each parameter's steps are counted.
        pointwise: whether a parameter may stand as a vector; otherwise it keeps its shape.
        name: what to call the optimizer in messages.
        kind: the type that state starts in; the parameter's if None.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        counts_steps: bool,
        pointwise: bool = True,
        name: str = "",
        kind: torch.dtype | None = None,
    ) -> None:
        self.slots, self.counts_steps, self.pointwise = slots, counts_steps, pointwise
        self.name, self.kind = name, kind
        self.params: list[Tensor] = []
        self.here: list[bool] = []  # which of them have a gradient
        self.open: list[Slot | None] = []
        self.lanes: list[Lane] = []
        self.steps: list[Tensor] = []  # all their counts

    def at_step(self, group: Mapping[str, Any], state: Any, offset: int = 0) -> list[Lane]:
        """The lanes for one more step, with its gradients and the count advanced.

        Args:
            group: with the rule's hyperparameters, and all its parameters.
            state: the optimizer's; started where it is missing.
            offset: how many coordinates the groups before this one have.
        """
        gradients = [p.grad for p in group["params"]]
        here = [g is not None for g in gradients]
        open_slots = [s if s.when is None or s.is_open(group) else None for s in self.slots]
        if not self._hold(group["params"], here, open_slots, state, gradients):
            self._refuse_sparse(gradients)
            self.params, self.here, self.open = list(group["params"]), here, open_slots
            self._start(state, group, offset)
            self.lanes = list(self._sort(state, gradients))
            counts = [x for lane in self.lanes for x in lane.kept.get("step", ())]
            self.steps = _as_few(sorted(counts, key=ADDRESS))
        if len(self.steps) == 1:
            self.steps[0].add_(1)
        elif self.steps:
            torch._foreach_add_(self.steps, 1)
        for lane in self.lanes:
            lane.renew(gradients)
        self.seal()
        return self.lanes

    def seal(self) -> None:
        """Note the state as it is: lanes may share memory, so this is done for all of them."""
        for lane in self.lanes:
            lane.seal()

    def _hold(
        self,
        params: list[Tensor],
        here: list[bool],
        open_slots: list[Slot | None],
        state: Any,
        gradients: list[Any],
    ) -> bool:
        return (
            here == self.here
            and all(map(is_, params, self.params))
            and all(map(is_, open_slots, self.open))
            and all(lane.holds(state, gradients) for lane in self.lanes)
        )

    def _refuse_sparse(self, gradients: Sequence[Any]) -> None:
        if any(g is not None and g.layout is not torch.strided for g in gradients):
            raise RuntimeError(
                f"{self.name} does not support sparse gradients. Use sparse=False in the layer "
                "that makes them, or torch.optim.SparseAdam for its parameters."
            )

    def _start(self, state: Any, group: Mapping[str, Any], offset: int) -> None:
        """Give a first value to all state that is missing."""
        self.fresh: set[tuple[Tensor, str]] = set()
        started: list[tuple[Tensor, str]] = []
        for p, here in zip(self.params, self.here, strict=True):
            if here:
                started += self._start_one(
                    p, state, {**group, "offset": offset, "param": p.detach()}
                )
            offset += p.numel()
        stand_together(started, state)

    def _start_one(
        self, p: Tensor, state: Any, known: Mapping[str, Any]
    ) -> Iterator[tuple[Tensor, str]]:
        """Start what the parameter lacks; yields the names of what was started."""
        if not self.pointwise and p.is_complex():
            raise RuntimeError(
                f"{self.name} does not support complex parameters: its step is not made for each "
                "coordinate alone. Keep the parameter as pairs of reals (torch.view_as_real), or "
                "give it to a pointwise optimizer such as Adam."
            )
        if self.counts_steps and "step" not in state[p]:
            state[p]["step"] = _first_count(p, known)
            yield p, "step"
        like = p.detach() if self.kind is None else p.detach().to(self.kind)
        for s in self.open:
            if s and s.name not in state[p]:
                value = s.begin(like, known)
                if value is not None:
                    state[p][s.name] = value
                    yield p, s.name
                    if s.start is None:
                        self.fresh.add((p, s.name))

    def _sort(self, state: Any, gradients: Sequence[Any]) -> Iterator[Lane]:
        lanes: dict[Any, Lane] = {}
        counted = tuple(s.name for s in self.open if s and s.scalar)
        counted += ("step",) * self.counts_steps
        for index, p in enumerate(self.params):
            if not self.here[index]:
                continue
            own = state[p] if counted or any(self.open) else {}
            sources, targets = self._place(p, own)
            everything = [x for x in (*sources, *targets, real(gradients[index])) if x is not None]
            layout = _layout(everything) if self.pointwise else "any"
            numbers = tuple(_hashable(own[name].tolist()) for name in counted)
            there = tuple((x is None, y is None) for x, y in zip(sources, targets, strict=True))
            lane = lanes.get(key := (p.device, p.dtype, layout, numbers, there))
            if lane is None:
                t = float(own["step"]) if self.counts_steps else None
                lane = lanes[key] = Lane(layout, t, self._scalars(own), counted=counted)
            names = [s.name for s in self.open if s and s.name in own]
            lane.at.append(index)
            _append(lane, p, own, names + ["step"] * self.counts_steps, sources, targets)
        return map(Lane.settled, lanes.values())

    def _scalars(self, own: Mapping[str, Any]) -> dict[int, Tensor]:
        return {i: own[s.name].clone() for i, s in enumerate(self.open) if s and s.scalar}

    def _place(
        self, p: Tensor, own: dict[str, Any]
    ) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Where p and its tensors of state are read and written."""
        sources, targets = [real(p.detach())], [real(p.detach())]
        for s in self.open:
            place = real(own.get(s.name)) if s and not s.scalar else None
            targets.append(place)
            sources.append(None if s and (p, s.name) in self.fresh else place)
        return sources, targets


def row(columns: Sequence[list[Tensor] | None], index: int) -> list[Tensor | None]:
    """What the columns hold for one parameter."""
    return [None if column is None else column[index] for column in columns]


def _append(
    lane: Lane,
    p: Tensor,
    own: dict[str, Any],
    names: list[str],
    sources: list[Tensor | None],
    targets: list[Tensor | None],
) -> None:
    lane.params.append(p)
    if names:
        lane.owned.append(own)
    for name in names:
        lane.kept.setdefault(name, []).append(own[name])
    for columns, tensors in ((lane.sources, sources), (lane.targets, targets)):
        if not columns:
            columns.extend(None if x is None else [] for x in tensors)
        for column, x in zip(columns, tensors, strict=True):
            if column is not None and x is not None:
                column.append(x)


def _as_few(scalars: list[Tensor]) -> list[Tensor]:
    """Scalars of the parameters, as one tensor if they stand side by side."""
    joinable = bool(scalars) and all(x.dim() == 0 and x.dtype == scalars[0].dtype for x in scalars)
    whole = as_one(scalars) if joinable else None
    return scalars if whole is None else [whole]


def _versioned(scalars: list[Tensor]) -> list[Tensor]:
    """Those whose versions tell of all: views of one tensor count what is written together."""
    base = scalars[0]._base
    return scalars[:1] if base is not None and all(x._base is base for x in scalars) else scalars


def _hashable(x: Any) -> Any:
    return tuple(map(str, x)) if isinstance(x, list) else x  # as words, because NaN is not NaN


def _first_count(p: Tensor, group: Mapping[str, Any]) -> Tensor:
    """A count of no steps, kept as PyTorch keeps it."""
    fused = bool(group.get("fused"))
    double = torch.get_default_dtype() == torch.float64 and not fused
    device = p.device if fused or group.get("capturable") else "cpu"
    return torch.zeros((), dtype=torch.float64 if double else torch.float32, device=device)


def _layout(tensors: list[Tensor]) -> str:
    first = tensors[0]
    plain = all(type(x) in (Tensor, torch.nn.Parameter) and x.dtype == first.dtype for x in tensors)
    if plain and all(x.is_contiguous() for x in tensors):
        return "contiguous"
    same = plain and all(x.stride() == first.stride() for x in tensors)
    return "dense" if same and first.permute(order(first)).is_contiguous() else "any"
