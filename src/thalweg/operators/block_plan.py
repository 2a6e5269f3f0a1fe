r"""Which block each parameter belongs to, decided from how a program uses it.

    "kronecker"  the weight of linear layers, of convolutions, or of embeddings, with the bias that
                 is used wherever it is and nowhere else
    "exact"      weights and biases of normalizations; a bias by itself; a weight used in several
                 ways (an embedding that is the output layer too): from derivatives sample by sample
    "loose"      everything else: from derivatives of the whole program, sample by sample

A parameter is taken for covered by its uses only if these reproduce its derivative, for a random
derivative in the output. So a parameter that takes part in some other way too, inside a compiled
region or by arithmetic of the program's own, is found out and becomes "loose".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from thalweg.operators.alignment import Aligned, derivatives_at
from thalweg.operators.layer_derivatives import layer_derivatives
from thalweg.operators.layer_uses import Use

# Units of rounding, of the sum of its terms' magnitudes, by which a sum may differ.
SUMMING_UNITS = 100

PlanForm = Literal["kronecker", "exact", "loose"]
Shapes = Mapping[str, torch.Size]


@final
@dataclass(frozen=True)
class Plan:
    """A block to be built.

    Attributes:
        names: its parameters: one, or a weight and its bias.
        form: see the module.
        uses: their places in the list of uses; empty for "loose".
    """

    names: tuple[str, ...]
    form: PlanForm
    uses: tuple[int, ...] = ()


def plans(uses: Sequence[Use], covered: Iterable[str], loose: Iterable[str]) -> list[Plan]:
    """The blocks of the parameters that take part.

    Args:
        uses: the layers' uses.
        covered: parameters that these uses account for.
        loose: parameters that they do not.
    """
    found: list[Plan] = []
    taken: set[str] = set()
    covered = list(covered)
    roles = {name: Roles.of(name, uses) for name in covered}
    for name in sorted(covered, key=lambda name: not roles[name].as_weight):
        if name in taken:
            continue
        bias = companion(name, uses, roles)
        names = (name,) if bias is None else (name, bias)
        found.append(Plan(names, roles[name].form, roles[name].everywhere))
        taken.update(names)
    return found + [Plan((name,), "loose") for name in loose]


@final
@dataclass(frozen=True)
class Roles:
    """The uses of one parameter: where it is the weight, where the bias, in what kinds of layer."""

    as_weight: tuple[int, ...]
    as_bias: tuple[int, ...]
    kinds: frozenset[tuple[str, int]]

    @classmethod
    def of(cls, name: str, uses: Sequence[Use]) -> Roles:
        """The roles of the parameter of that name."""
        return cls(
            tuple(i for i, use in enumerate(uses) if use.weight == name),
            tuple(i for i, use in enumerate(uses) if use.bias == name),
            frozenset((use.kind, use.groups) for use in uses if name in use.names),
        )

    @property
    def everywhere(self) -> tuple[int, ...]:
        """All uses."""
        return tuple(sorted({*self.as_weight, *self.as_bias}))

    @property
    def uniform(self) -> bool:
        """Whether it is a weight everywhere, of one kind of layer."""
        return bool(self.as_weight) and not self.as_bias and len(self.kinds) == 1

    @property
    def form(self) -> PlanForm:
        """How its block is built."""
        factored = self.uniform and all(kind != "scale" for kind, _ in self.kinds)
        return "kronecker" if factored else "exact"


def companion(name: str, uses: Sequence[Use], roles: Mapping[str, Roles]) -> str | None:
    """The bias that is used wherever the weight `name` is and nowhere else; None without one."""
    if not roles[name].uniform:
        return None
    biases = {uses[i].bias for i in roles[name].as_weight}
    bias = biases.pop() if len(biases) == 1 else None
    if bias is None or bias not in roles or roles[bias].as_weight:
        return None
    return bias if roles[bias].as_bias == roles[name].as_weight else None


def accounted(
    rows: Tensor, params: Mapping[str, Tensor], uses: Sequence[Aligned]
) -> Iterator[tuple[str, bool]]:
    """The parameters that the output depends on, and whether `uses` account for their derivative.

    Args:
        rows: the model's output, (N, D), with its graph.
        params: the variables it was computed from.
        uses: the layers' uses in it.
    """
    generator = torch.Generator().manual_seed(1)
    column = torch.randn(rows.shape, generator=generator, dtype=torch.float64).to(rows)
    whole: Sequence[Tensor | None] = torch.autograd.grad(
        rows, list(params.values()), column, retain_graph=True, allow_unused=True
    )
    added = summed(column, rows, params, uses)
    for (name, param), derivative in zip(params.items(), whole, strict=True):
        if derivative is None:  # no path from it to the output
            continue
        if name not in added:
            yield name, False
            continue
        total, terms, coarsest = added[name]
        dense = derivative.to_dense() if derivative.layout != torch.strided else derivative
        unit = max(torch.finfo(param.dtype).eps, coarsest)
        # A sum may be zero by cancellation (a bias before batch normalization).
        allowed = unit**0.5 * dense.abs().max() + SUMMING_UNITS * unit * terms.max()
        yield name, bool((total - dense).abs().max() <= allowed)


def summed(
    column: Tensor, rows: Tensor, params: Mapping[str, Tensor], uses: Sequence[Aligned]
) -> dict[str, tuple[Tensor, Tensor, float]]:
    """The derivative of (column . rows) in each parameter that has uses, as the sum over them.

    Beside it, the sum of the terms' magnitudes, and the coarsest unit of rounding among them, which
    under autocast is not the parameter's.
    """
    shapes = {name: param.shape for name, param in params.items()}
    added: dict[str, tuple[Tensor, Tensor, float]] = {}
    derivatives = derivatives_at(rows, [one.use for one in uses], column)
    for one, derivative in zip(uses, derivatives, strict=True):
        # All samples as one: only their sum is asked for.
        a, g = one.entries().flatten(0, 1), one.turned(derivative).flatten(0, 1)
        parts = layer_derivatives(one.use, a[None], g[None], shapes)
        sizes = layer_derivatives(one.use, a.abs()[None], g.abs()[None], shapes)
        unit = torch.finfo(g.dtype).eps
        for name, part in parts.items():
            total, terms, coarsest = added.get(name, (0.0, 0.0, 0.0))
            added[name] = (total + part[0], terms + sizes[name][0], max(coarsest, unit))
    return added
