"""What the script itself reads out of its model: its own accuracies and errors, wherever they stand.

A value that was computed from the parameters with gradients off (or after the last update) is an
evaluation. Two moments of it are readings: predictions compared with labels (``==``: an accuracy),
and a scalar taken out of PyTorch (``item``, ``float``, formatting: an error, a loss or a rate). A
reading is named by the line of the script that made it, and the readings of one pass over a data
set (one line, no update in between) are summed up to one value.
"""

from __future__ import annotations

import math
import sys
import weakref
from dataclasses import dataclass
from typing import Any

import torch

from thalweg.recorder.session import Call, Listener, Session

EQUALITIES = frozenset({"eq", "__eq__"})
COMPARISONS = EQUALITIES | frozenset(
    "ne __ne__ gt lt ge le __gt__ __lt__ __ge__ __le__ isclose allclose".split()
)
DIFFERENCES = frozenset("sub __sub__ rsub __rsub__ cdist dist pairwise_distance norm".split())
READERS = frozenset({"item", "__float__", "__format__", "tolist", "__str__"})
LOSSES = frozenset(
    "cross_entropy nll_loss binary_cross_entropy binary_cross_entropy_with_logits mse_loss l1_loss "
    "smooth_l1_loss huber_loss kl_div poisson_nll_loss gaussian_nll_loss hinge_embedding_loss "
    "multi_margin_loss multilabel_margin_loss soft_margin_loss multilabel_soft_margin_loss "
    "margin_ranking_loss triplet_margin_loss cosine_embedding_loss ctc_loss".split()
)

# With gradients on, these are the ways by which a value leaves the training graph.
LEAVING = COMPARISONS | READERS | {"detach", "argmax", "argmin", "max", "topk", "round", "sign"}


@dataclass(frozen=True, slots=True)
class Origin:
    """How a value descends from the parameters."""

    training: bool  # through a graph that is being differentiated
    kind: str = "value"  # "value", "loss", "error" or "rate"


@dataclass(slots=True)
class Reading:
    """One pass of one line over a data set.

    Attributes:
        site: ``file.py:line`` of the script.
        kind: ``accuracy`` and ``rate`` (higher is better), ``loss``, ``error`` and ``value``.
        training: Whether it was made of a graph that training differentiates.
        step: How many updates had been made.
        total: The sum of what was read.
        count: For an accuracy the number of predictions, else the number of readings.
    """

    site: str
    kind: str
    training: bool
    step: int
    total: float
    count: int

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        value = self.total / self.count if self.count else math.nan
        return {
            "site": self.site,
            "kind": self.kind,
            "training": self.training,
            "step": self.step,
            "value": value if math.isfinite(value) else None,
            "count": self.count,
        }


class Readings(Listener):
    """Follows values from the parameters to where the script reads them.

    Memory: one entry a live tensor that descends from the parameters outside of training graphs,
    and at most ``limit`` readings.
    """

    def __init__(self, folder: str, limit: int = 5000) -> None:
        self.readings: list[Reading] = []
        self._folder, self._limit = folder, limit
        self._origins: dict[int, tuple[weakref.ref[torch.Tensor], Origin]] = {}

    def started(self, session: Session) -> None:
        """Remember whose steps to count."""
        self._session = session

    def called(self, call: Call, result: Any) -> None:
        """Pass the descent on, and note what is read."""
        if not self._origins and torch.is_grad_enabled() and call.name not in LEAVING:
            return
        found = [o for one in call.args if (o := self._origin(one)) is not None]
        if not found:
            return
        origin = _next(call, found)
        if call.name in READERS:
            self._read(call, origin)
        elif call.name in EQUALITIES and isinstance(result, torch.Tensor):
            self._note("accuracy", origin, float(result.sum()), result.numel())
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, torch.Tensor) and not one.requires_grad:
                key = id(one)
                self._origins[key] = (weakref.ref(one, lambda _, k=key: self._drop(k)), origin)

    def _drop(self, key: int) -> None:
        self._origins.pop(key, None)

    def _origin(self, part: Any) -> Origin | None:
        """Where a value comes from; None if it has nothing to do with the parameters."""
        if isinstance(part, torch.Tensor):
            if part.requires_grad:
                return Origin(training=not part.is_leaf)
            known = self._origins.get(id(part))
            return known[1] if known and known[0]() is part else None
        if isinstance(part, tuple | list):
            return next((o for one in part if (o := self._origin(one)) is not None), None)
        return None

    def _read(self, call: Call, origin: Origin) -> None:
        source = call.args[0]
        if not isinstance(source, torch.Tensor) or source.numel() != 1:
            return
        kind = "loss" if source.requires_grad and not source.is_leaf else origin.kind
        self._note(kind, origin, float(source.detach()), 1)
        self._drop(id(source))  # formatting reads the same number twice

    def _note(self, kind: str, origin: Origin, total: float, count: int) -> None:
        if len(self.readings) >= (self._limit // 2 if origin.training else self._limit):
            return  # a loop that prints every loss must not crowd the evaluations out
        site, step = self._site(), self._session.step
        for last in reversed(self.readings):
            if last.step != step:
                break
            if last.site == site and last.kind == kind:
                last.total, last.count = last.total + total, last.count + count
                return
        self.readings.append(Reading(site, kind, origin.training, step, total, count))

    def _site(self) -> str:
        frame: Any = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self._folder) and "site-packages" not in name:
                return f"{name.rpartition('/')[2]}:{frame.f_lineno}"
            frame = frame.f_back
        return "?"


def _next(call: Call, found: list[Origin]) -> Origin:
    training = any(origin.training for origin in found)
    kinds = {origin.kind for origin in found}
    if call.name in LOSSES:
        return Origin(training, "loss")
    if call.name in COMPARISONS:
        return Origin(training, "rate")
    if call.name in DIFFERENCES and kinds <= {"value", "error"}:
        return Origin(training, "error")
    first = next((kind for kind in ("loss", "rate", "error") if kind in kinds), "value")
    return Origin(training, first)
