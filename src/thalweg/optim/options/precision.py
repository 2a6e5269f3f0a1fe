"""16-bit parameters, and what their type has no digits for.

A bfloat16 has 8 binary digits: where a step is smaller than 1/512 of a parameter, rounding to the
nearest drops it, every time, and the parameter stands still. Two remedies, for every rule:

    stochastic   round up or down by chance, each with the probability that makes it right on
                 average (Gupta et al. 2015); small steps then arrive as often as they should
    kahan        keep what rounding dropped in a second tensor of state, of the same type, and
                 start the next step from the sum of both (Kahan 1965; Zamirai et al. 2020)

Both compute in float32, whatever the rule. State kept in 16 bits is rounded as parameters are
under `stochastic`, to the nearest under `kahan`; `state_dtype=torch.float32` keeps it whole.
The chance is drawn from a generator of the optimizer's own, anew at every step from the seed and
the count of steps. Both stand in the parameter groups, so that a run that is resumed draws what the
run never interrupted draws, and processes that hold copies of one model draw the same.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from functools import reduce
from random import Random
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.forms.lanes import Lane
from thalweg.optim.rule import Rule, slot

ROUNDINGS = ("nearest", "stochastic", "kahan")
HALF = (torch.bfloat16, torch.float16)
PIECE = 1 << 18  # elements that are widened at a time, where the rule permits it

Formula = Callable[..., Any]
Group = MutableMapping[str, Any]


def _missing(p: Tensor, *, param: Tensor) -> Tensor | None:
    """What rounding dropped: nothing at first, and never anything for wider types."""
    return torch.zeros_like(param) if param.dtype in HALF else None


def with_remainder(rule: Rule) -> Rule:
    """The rule with a slot for what rounding dropped, which the rule itself does not touch."""

    def formula(p: Any, g: Any, *state: Any, **hyper: Any) -> Any:
        *own, remainder = state
        return (*rule.formula(p, g, *own, **hyper), remainder)

    start = slot("kahan_compensation", _missing)
    every = lambda hyper: True
    return rule.wrapped("kahan", formula, slots={"remainder": start}, rows=every)


class Precision:
    """Makes a formula one that computes in float32 and gives 16 bits.

    Args:
        rounding: one of `ROUNDINGS`.
        always: whether 16-bit parameters are widened even where all their state has their type.
        pointwise: whether a vector may be cut into pieces.
    """

    def __init__(self, rounding: str, always: bool, pointwise: bool) -> None:
        self.rounding, self.always, self.pointwise = rounding, always, pointwise
        self.seed = 0
        self.sources: dict[torch.device, torch.Generator] = {}

    def begin(self, groups: Sequence[Group], seed: int) -> None:
        """Count a step, and begin its random numbers."""
        if self.rounding != "stochastic" or not groups:
            return
        first = groups[0].setdefault("rounding_seed", seed)
        step = groups[0].get("rounding_step", 0) + 1
        for group in groups:
            group.update(rounding_seed=first, rounding_step=step)
        self.seed, self.sources = Random(f"{first} {step}").getrandbits(63), {}

    def concerns(self, lane: Lane) -> bool:
        """Whether a lane's parameters are to be widened."""
        if lane.layout != "any" and lane.params[0].dtype not in HALF:
            return False
        firsts = [column[0] for column in lane.inputs if column]
        kinds = {x.dtype for x in firsts}
        if len(kinds) > 1:
            kinds = {x.dtype for x in firsts if _has_fractions(x)}
        return len(kinds) > 1 or (self.always and bool(kinds & {*HALF}))

    def of(self, formula: Formula) -> Formula:
        """The formula in float32, or in the widest type that it is given."""

        def widened(p: Any, g: Any, *state: Any, **hyper: Any) -> Any:
            kinds = [x.dtype for x in (p, g, *state) if _has_fractions(x)]
            kind = reduce(torch.promote_types, kinds, torch.float32)
            if not self.pointwise or p.dim() != 1 or p.numel() <= PIECE:
                return self._step(formula, kind, (p, g, *state), hyper)
            cuts = zip(*(_pieces(x, p.numel()) for x in (p, g, *state)), strict=True)
            done = [self._step(formula, kind, cut, hyper) for cut in cuts]
            return [_joined(xs) for xs in zip(*done, strict=True)]

        return widened

    def _step(self, formula: Formula, kind: torch.dtype, old: Any, hyper: Any) -> list[Any]:
        wide = [x.to(kind) if _has_fractions(x) else x for x in old]
        kept = old[-1] if self.rounding == "kahan" else None
        if kept is not None:
            wide[0] = wide[0] + wide[-1]
        new = list(formula(*wide, **hyper))
        like = (old[0], *old[2:])
        results = [self._narrow(x, y) for x, y in zip(new, like, strict=True)]
        if kept is not None:
            results[-1] = _dropped(new[0], results[0]).to(kept.dtype)
        return results

    def _narrow(self, x: Any, like: Any) -> Any:
        """A result in the type that it is kept in; the first of a state is left to the copy."""
        if x is None or like is None or x.dtype == like.dtype:
            return x
        if self.rounding == "stochastic" and like.dtype in HALF:
            return stochastic(x, like.dtype, self._source(x.device))
        return x.to(like.dtype)

    def _source(self, device: torch.device) -> torch.Generator:
        if device not in self.sources:
            self.sources[device] = torch.Generator(device).manual_seed(self.seed)
        return self.sources[device]


def stochastic(x: Tensor, dtype: torch.dtype, source: torch.Generator) -> Tensor:
    """Round to one of the two nearest numbers of a type by chance, so that the mean is x.

    What lies beyond the type's largest number, and NaN, is rounded as PyTorch rounds it.
    """
    near = x.to(dtype)
    missed = x - near.to(x.dtype)
    way = torch.copysign(torch.full_like(near, torch.inf), missed.to(dtype))
    beyond = torch.nextafter(near, way)
    chance = missed / (beyond.to(x.dtype) - near.to(x.dtype))
    draw = torch.rand(x.shape, generator=source, device=x.device, dtype=x.dtype)
    return torch.where(draw < chance, beyond, near)


def _dropped(exact: Tensor, rounded: Tensor) -> Tensor:
    missed = exact - rounded.to(exact.dtype)
    return torch.where(missed.isfinite(), missed, 0)  # an overflow is not to become NaN


def _has_fractions(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _pieces(x: Any, length: int) -> Sequence[Any]:
    count = -(-length // PIECE)
    return [None] * count if x is None else x.split(PIECE)


def _joined(parts: Sequence[Any]) -> Any:
    return None if parts[0] is None else torch.cat(list(parts))
