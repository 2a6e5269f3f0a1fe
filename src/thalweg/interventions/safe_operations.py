"""Operations made safe at the points where their value or slope is not finite.

What it changes: the arguments of ``sqrt``, ``rsqrt``, ``log``, ``pow`` with an exponent below one,
``acos``, ``asin``, ``exp`` and of divisions are held away from the singular point by ``margin``
(``exp``: from overflow), so that neither value nor gradient leaves the numbers. Elsewhere nothing
changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.anatomy import plain
from thalweg.recorder.session import Call

POSITIVE = frozenset({"sqrt", "rsqrt", "log", "log2", "log10", "reciprocal"})
BOUNDED = frozenset({"acos", "asin", "arccos", "arcsin", "atanh"})
DIVISIONS = frozenset({"div", "true_divide", "__truediv__", "divide"})
POWERS = frozenset({"pow", "__pow__"})


@dataclass
class SafeOperations(Intervention):
    """Hold arguments away from singular points by ``margin``."""

    kind: ClassVar[str] = "safe-operations"
    margin: float = 1e-10

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1:
            raise InterventionError(f"safe-operations: margin={self.margin}: give 0 to 1")

    def rewrite(self, call: Call) -> None:
        """Hold the argument away from the singular point."""
        name = plain(call.name)
        if name in POSITIVE or (name in POWERS and self._is_root(call)):
            self._change(call, 0, lambda x: x.clamp_min(self.margin))
        elif name in BOUNDED:
            edge = 1 - max(self.margin, 1e-6)
            self._change(call, 0, lambda x: x.clamp(-edge, edge))
        elif name == "exp":
            self._change(call, 0, lambda x: x.clamp_max(80.0))
        elif name in DIVISIONS:
            self._change(call, 1, self._away_from_zero)

    def _away_from_zero(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x.abs() < self.margin, torch.full_like(x, self.margin), x)

    @staticmethod
    def _is_root(call: Call) -> bool:
        power = call.args[1] if len(call.args) > 1 else call.kwargs.get("exponent", 1.0)
        return isinstance(power, float) and power < 1.0

    @staticmethod
    def _change(call: Call, at: int, change: Callable[[torch.Tensor], Any]) -> None:
        """Change one argument on its way in; the call keeps its own, which others follow."""
        given = call.args[at] if len(call.args) > at else None
        if not isinstance(given, torch.Tensor) or not given.is_floating_point():
            return
        if call.name.endswith("_") and not call.name.endswith("__"):
            return
        compute = call.func
        call.func = lambda *args, **kwargs: compute(
            *args[:at], change(args[at]), *args[at + 1 :], **kwargs
        )

    def name(self) -> str:
        """A few words for a table."""
        return "safe operations"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Keep roots, logarithms and divisions away from zero: add a small constant inside."

    def edit(self) -> str:
        """A line of code."""
        return "distance = (squared + 1e-10).sqrt()"
