"""Shuffled examples: each pass over the training data takes them in another order.

What it changes: a ``DataLoader`` over a sized data set that takes its examples in order is made
with ``shuffle=True``. In a loop that takes contiguous rows (``x[a:b]``, ``x[rows]`` with rows in
order) of tensors on the way to a training loss, those rows are looked up through a random
permutation, the same one for every tensor with as many rows, and a new one when a pass begins
again. A script that takes its batches from neither (cut from lists, made by a generator of its own)
gets a shuffle buffer (:mod:`.shuffle_buffer`) behind its first two updates, unless samples are set
aside at the same time, which are told by their place in the batch. Everything random comes from a
stream of our own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.utils.data import DataLoader, IterableDataset

from thalweg.interventions.intervention import Intervention
from thalweg.interventions.set_aside import SetAside
from thalweg.interventions.shuffle_buffer import ShuffleBuffer
from thalweg.recorder.session import Call, Session

FEWEST = 32  # rows; shorter tensors are batches, weights or settings
LOOKED_AT = 2  # updates, in which loaders and rows show if there are any


@dataclass
class Shuffling(Intervention):
    """Take training examples in random order."""

    kind: ClassVar[str] = "shuffling"
    _orders: dict[int, torch.Tensor] = field(default_factory=dict, init=False, repr=False)
    _leaders: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind}

    def started(self, session: Session) -> None:
        """Make loaders that shuffle from now on."""
        self._session = session
        self._random = torch.Generator().manual_seed(20_261)
        self._buffer = ShuffleBuffer(self._random)
        apart = any(isinstance(one, SetAside) for one in session.listeners)
        self._reached = apart  # whether batches are taken in a way that is changed where it begins
        self._construct = DataLoader.__init__
        construct = self._construct

        def constructing(loader: Any, dataset: Any, *args: Any, **kwargs: Any) -> None:
            in_order = not (len(args) > 1 or {"sampler", "batch_sampler", "shuffle"} & {
                name for name, value in kwargs.items() if value})  # fmt: skip
            if in_order and not isinstance(dataset, IterableDataset) and torch.is_grad_enabled():
                kwargs["shuffle"] = self._reached = True
            construct(loader, dataset, *args, **kwargs)

        setattr(DataLoader, "__init__", constructing)  # noqa: B010

    def finished(self) -> None:
        """Give the loader's construction back."""
        setattr(DataLoader, "__init__", self._construct)  # noqa: B010

    def rewrite(self, call: Call) -> None:
        """Look contiguous rows up through the permutation, or mix batches of the script's own."""
        if not torch.is_grad_enabled() or not self._session.step:
            return  # before the first update a script also splits its data
        if call.name == "__getitem__":
            self._permute(call)
        if not self._reached and self._session.step >= LOOKED_AT:
            self._buffer.rewrite(call)

    def after_backward(self, loss: torch.Tensor) -> None:
        """Another batch comes."""
        self._buffer.end()

    def _permute(self, call: Call) -> None:
        data, index = call.args[:2]
        if not isinstance(data, torch.Tensor) or data.requires_grad or data.dim() == 0:
            return
        rows = _contiguous(index, len(data))
        if rows is None or len(data) < FEWEST or len(rows) > len(data) // 2:
            return
        self._reached = True
        order = self._order(len(data), begins=int(rows[0]) == 0, who=id(data))
        call.args = (data, order[rows].to(data.device))

    def _order(self, size: int, begins: bool, who: int) -> torch.Tensor:
        """The permutation in force; a new one when the same tensor begins a pass again."""
        if size not in self._orders or (begins and self._leaders.get(size) == who):
            self._orders[size] = torch.randperm(size, generator=self._random)
            self._leaders.setdefault(size, who)
        return self._orders[size]

    def name(self) -> str:
        """A few words for a table."""
        return "shuffled examples"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Shuffle the training examples before each pass."

    def edit(self) -> str:
        """A line of code."""
        return "DataLoader(train, batch_size=..., shuffle=True)"


def _contiguous(index: Any, size: int) -> torch.Tensor | None:
    """The rows that an index names if they are in order and without gaps, else None."""
    if isinstance(index, slice) and index.step in (None, 1):
        start, stop, _ = index.indices(size)
        return torch.arange(start, stop) if stop - start > 1 else None
    if isinstance(index, torch.Tensor) and index.dim() == 1 and index.dtype == torch.int64:
        steps = index.diff()
        return index.cpu() if len(index) > 1 and bool((steps == 1).all()) else None
    return None
