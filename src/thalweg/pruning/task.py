"""What a method of pruning is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

from torch import Tensor, nn

from thalweg.pruning.layers import Layer
from thalweg.pruning.pattern import Pattern

Scope = Literal["network", "layer"]
Curvature = Literal["gauss-newton", "hessian"]
Loss = Callable[[Any, Any], Tensor]


@final
@dataclass
class Task:
    """A model to prune, and how.

    Attributes:
        model: its weights are parameters, without masks.
        layers: those to prune.
        kept: what is kept so far, as matrices by the layers' paths.
        pattern: of the zeros.
        scope: within what the least salient weights are sought.
        loss, data: as the operators take them; None where the method needs none.
        keeps_outputs: whether the loss is the distance from the model's outputs as they were.
        damping: a share of the curvature's mean diagonal entry, added to the diagonal.
        compensate: whether the weights that remain make up for those that go.
        curvature: the matrix that brain damage and brain surgeon take.
        products: of that matrix, for a diagonal that is not known otherwise.
    """

    model: nn.Module
    layers: list[Layer]
    kept: dict[str, Tensor]
    pattern: Pattern
    scope: Scope
    loss: Loss | None
    data: Any
    damping: float
    compensate: bool
    curvature: Curvature
    products: int
    keeps_outputs: bool


@final
@dataclass(frozen=True)
class Change:
    """What a round of a method makes of the model.

    Attributes:
        values: new values of parameters by their names; zeros are not yet written.
        removed: what goes, matrices of booleans by the layers' paths.
    """

    values: dict[str, Tensor]
    removed: dict[str, Tensor]


Method = Callable[[Task, float], Change]
