"""Clipping by percentile: a gradient is long in comparison with those before it.

The global norms of the last `clip_window` steps are kept, this step's among them, and all gradients
together are shortened to the `clip_percentile`-th percentile of these: at 90, about one step in ten
is clipped, whatever the loss's scale, and no threshold has to be found by looking at logs.

    n_t = norm of all gradients,  g <- g * min(1, percentile(n_(t-w+1) ... n_t) / n_t)

Convention: percentiles are interpolated linearly between the norms, as NumPy's are. The norms are
kept as they were before clipping. As the gradients' scale cancels, the wrapped rule stays
loss-scale-invariant if it was. A parameter that comes late keeps a window of its own; the fullest
window decides. Norms that are not finite are not kept, or a single one would lift the limit.

Reference: Godbole, Dahl, Gilmer, Shallue & Nado (2023), Deep Learning Tuning Playbook, on gradient
clipping for unstable training ("the 90th percentile of gradient norms").
"""

from typing import Any

import torch
from torch import Tensor

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule, Slot, over_all, slot
from thalweg.optim.wrappers.clipping import global_norm

define(
    "clip_percentile",
    "which percentile of the recent norms is the longest let through",
    "in [0, 100], or None",
    lambda x: bool(0 <= x <= 100),
    optional=True,
)
define(
    "clip_window",
    "how many norms are kept",
    "a whole number >= 1",
    lambda x: bool(x >= 1 and x == int(x)),
)


def _empty(p: Tensor, *, clip_window: int) -> Tensor:
    return torch.full((clip_window,), torch.nan, dtype=torch.float64)


def with_norm(window: Tensor, norm: Any) -> Tensor:
    """The window one step later; a norm that is not finite leaves it as it is."""
    if not torch.isfinite(norm):
        return window
    return torch.cat([window[1:], norm.detach().to(window).reshape(1)])


def _known(window: Tensor) -> Tensor:
    return window[~window.isnan()]


def limit(g: list[Tensor], window: list[Tensor], *, clip_percentile: Any) -> Any:
    """The factor for all gradients, as a 0-d tensor; 1 where nothing is to be clipped."""
    norm = global_norm(g)
    fullest = max(window, key=lambda x: len(_known(x)))
    norms = _known(with_norm(fullest, norm))
    if clip_percentile is None or not len(norms):
        return torch.ones_like(norm)
    highest = torch.quantile(norms, clip_percentile / 100)
    return torch.where(norm > highest, highest.to(norm) / norm, torch.ones_like(norm))


def clip_by_percentile(rule: Rule) -> Rule:
    """Shorten gradients that are long for this run. `clip_percentile=None` is off."""

    def formula(
        p: Any, g: Any, *state: Any, recent_norm: Any, shortening: Any, clip_percentile: Any,
        clip_window: Any, **hyper: Any,
    ) -> Any:  # fmt: skip
        *inner, window = state
        g = g if clip_percentile is None else g * shortening
        return *rule.formula(p, g, *inner, **hyper), with_norm(window, recent_norm)

    return rule.wrapped(
        "clip_by_percentile",
        formula,
        slots={"window": _window()},
        recent_norm=over_all(global_norm),
        shortening=over_all(limit),
        clip_percentile=90.0,
        clip_window=100,
    )


def _window() -> Slot:
    made: Slot = slot("recent_norms", _empty, scalar=True)
    return made
