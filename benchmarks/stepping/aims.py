"""What the project wants of these numbers, and where it is missed.

All of the large models' aims are for element-wise rules in the compiled form.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stepping.architectures import ARCHITECTURES
from stepping.results import Result


@dataclass(frozen=True)
class Aim:
    words: str
    applies: Callable[[Result], bool]
    value: Callable[[Result], float]
    most: float  # the value must not be larger


def _large(result):
    return ARCHITECTURES[result.model].large and result.pointwise and result.has("compiled")


def _best_of_torch(result):
    return min((name for name in ("torch", "foreach") if result.has(name)), key=result.seconds)


AIMS = (
    Aim(
        "compiled takes at most 1.25 times the floor",
        _large,
        lambda r: r.by_floor("compiled"),
        1.25,
    ),
    Aim(
        "compiled is no slower than PyTorch's fused kernel",
        lambda r: _large(r) and r.has("fused"),
        lambda r: r.ratio("compiled", "fused"),
        1.0,
    ),
    Aim(
        "where PyTorch has no fused kernel, compiled takes at most a third of its best",
        lambda r: _large(r) and r.has("torch") and not r.has("fused"),
        lambda r: r.ratio("compiled", _best_of_torch(r)),
        1 / 3,
    ),
    Aim(
        "compiled takes less than 5 % of the parameters for itself",
        lambda r: _large(r) and "compiled" in r.extra,
        lambda r: r.extra_share("compiled"),
        0.05,
    ),
    Aim(
        "on six small tensors auto is no slower than PyTorch's default",
        lambda r: r.model == "mlp" and r.has("auto") and r.has("torch"),
        lambda r: r.ratio("auto", "torch"),
        1.0,
    ),
)


def report(results):
    """One line for each aim that these results speak of."""
    return "\n".join(filter(None, (_line(aim, results) for aim in AIMS)))


def _line(aim, results):
    values = {f"{r.rule} on {r.model}": aim.value(r) for r in results if aim.applies(r)}
    misses = {name: value for name, value in values.items() if value > aim.most}
    if not values:
        return ""
    shown = ", ".join(f"{name} {value:.2f}" for name, value in misses.items())
    kept = f"kept in {len(values) - len(misses)} of {len(values)}"
    return f"* {aim.words}: {kept}{'; missed: ' + shown if shown else ''}"
