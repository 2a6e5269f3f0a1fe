"""What every optimizer can be asked for, whatever its rule.

nonfinite   what to do when a gradient holds NaN or infinity
precision   how 16-bit parameters keep what their type has no digits for
loading     what `load_state_dict` makes of a saved state
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from thalweg.optim.hyperparameters import nearest
from thalweg.optim.options.nonfinite import POLICIES
from thalweg.optim.options.precision import HALF, ROUNDINGS

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """Choices for a whole optimizer, checked.

    Args:
        nonfinite: with NaN or infinity in any gradient, `"pass"` steps all the same, `"skip"`
            leaves the whole step out, `"raise"` raises RuntimeError; neither changes anything.
        rounding: of parameters in bfloat16 and float16. `"nearest"` is PyTorch's. `"stochastic"`
            is right on average, `"kahan"` keeps what was lost in a second tensor of state; both
            compute in float32 and leave wider parameters as they are.
        state_dtype: the type in which state is kept that has the parameter's type by default.
        rounding_seed: where stochastic rounding starts.

    Raises:
        ValueError: a choice that there is not.
        TypeError: a type that has no fractions, or a seed that is no whole number.
    """

    nonfinite: str = "pass"
    rounding: str = "nearest"
    state_dtype: torch.dtype | None = None
    rounding_seed: int = 0

    def checked(self, call: str, form: str = "auto") -> Options:
        """These options, unless one is refused."""
        for key, choices in (("nonfinite", POLICIES), ("rounding", ROUNDINGS)):
            value = getattr(self, key)
            if value not in choices:
                raise ValueError(
                    f"{call}({key}={value!r}): no such choice. {nearest(str(value), choices)}"
                )
        kind = self.state_dtype
        if kind is not None and not (isinstance(kind, torch.dtype) and kind.is_floating_point):
            raise TypeError(
                f"{call}(state_dtype={kind!r}): state is kept in a floating type. Use "
                "torch.float32, or None for the parameter's own."
            )
        if not isinstance(self.rounding_seed, int):
            raise TypeError(
                f"{call}(rounding_seed={self.rounding_seed!r}): a seed is a whole number."
            )
        if self.widens and form not in ("auto", "each"):
            raise ValueError(
                f"{call}(form={form!r}, ...): 16-bit parameters are widened one at a "
                "time. Use form='auto', or leave rounding and state_dtype out."
            )
        return self

    def fit(self, call: str, groups: Iterable[Mapping[str, Any]]) -> None:
        """Refuse a rounding that would round nothing.

        Raises:
            ValueError: no parameter, and no type that state is kept in, has 16 bits.
        """
        kinds = {p.dtype for group in groups for p in group["params"]}
        kept = {self.state_dtype} if self.rounding == "stochastic" else set()
        if self.rounding != "nearest" and not (kinds | kept) & {*HALF}:
            raise ValueError(
                f"{call}(rounding={self.rounding!r}): no parameter is bfloat16 or float16 "
                f"({', '.join(sorted(map(str, kinds)))}), so there is nothing to round. Leave it "
                "out, or convert the model before the optimizer is made."
            )

    @property
    def widens(self) -> bool:
        """Whether 16-bit parameters are computed in float32."""
        return self.rounding != "nearest" or self.state_dtype is not None

    @classmethod
    def taken(cls, given: dict[str, Any]) -> Options:
        """The options among an optimizer's arguments, which are taken out."""
        return cls(**{f.name: given.pop(f.name) for f in fields(cls) if f.name in given})

    @classmethod
    def defaults(cls) -> Mapping[str, Any]:
        """Every option's default, by name."""
        return {f.name: f.default for f in fields(cls)}
