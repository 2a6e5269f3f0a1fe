"""What a model is still worth at each sparsity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, final

from torch import nn

from thalweg.pruning.prune import MethodName, prune


@final
@dataclass(frozen=True)
class Point:
    """A measure of a pruned model.

    Attributes:
        method: by which it was pruned.
        sparsity: the share of zeros in its layers' weights.
        value: what was measured.
    """

    method: str
    sparsity: float
    value: float


def curve(
    model: nn.Module,
    measure: Callable[[nn.Module], float],
    sparsities: Iterable[float],
    methods: Iterable[MethodName] = ("magnitude", "brain-surgeon"),
    **options: Any,
) -> list[Point]:
    """A measure against sparsity, each point from a copy of the model as it is.

    Args:
        model: left as it is.
        measure: from a model to a number, such as its accuracy on held-out data.
        sparsities: shares of zeros, in [0, 1).
        methods: of `prune`.
        **options: as `prune` takes them.

    Returns:
        A point for each method and each sparsity, in this order.

    Raises:
        TypeError, ValueError: as `prune`.
    """
    wanted = list(sparsities)
    return [one_point(deepcopy(model), measure, s, m, options) for m in methods for s in wanted]


def one_point(
    model: nn.Module,
    measure: Callable[[nn.Module], float],
    sparsity: float,
    method: MethodName,
    options: dict[str, Any],
) -> Point:
    """Prune this very model, and measure it."""
    reached = prune(model, sparsity, method, **options).sparsity
    return Point(method, reached, float(measure(model)))
