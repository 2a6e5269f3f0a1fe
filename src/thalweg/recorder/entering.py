"""The data that a forward pass lets in at trained weights, and the samples that it consists of.

Of all that enters between one loss and the next (the whole input once; in a loop over time a piece
of it in every round) the rows with the same number are one sample. The data of many calls is looked
at once: of a tensor that enters again unchanged the keys are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from thalweg.recorder.anatomy import LAYERS, plain
from thalweg.recorder.leaves import is_leaf, needs_gradient
from thalweg.recorder.sample_keys import joined, row_keys
from thalweg.recorder.session import Call

SCALING = frozenset({"mul", "__mul__", "__rmul__"})  # a weight times the data, without any layer
MOST_PIECES, REMEMBERED = 64, 8


class Piece(NamedTuple):
    """Data that has met trained weights."""

    data: torch.Tensor
    weight: torch.Tensor


def entering(call: Call) -> Piece | None:
    """The data that meets trained weights in this call; None if none does."""
    name = plain(call.name)
    looked_up = call.name == "__getitem__"
    if name not in LAYERS and name not in SCALING and not looked_up:
        return None
    given = list(_tensors((*call.args, *call.kwargs.values())))
    weight = next(filter(_is_weight, given), None)
    data = (one for one in given if one.dim() and one.numel() > 1 and not needs_gradient(one))
    found = next(data, None)
    if weight is None or found is None or (looked_up and weight is not given[0]):
        return None
    return Piece(found, weight)


def _is_weight(tensor: torch.Tensor) -> bool:
    """A leaf, or another look at one, as its transpose is."""
    if is_leaf(tensor):
        return True
    return tensor._is_view() and tensor._base is not None and is_leaf(tensor._base)


def _tensors(part: Any) -> Iterable[torch.Tensor]:
    if isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, tuple | list):
        for item in part:
            yield from _tensors(item)


@dataclass(frozen=True)
class Rows:
    """How the rows of a loss belong to samples.

    Attributes:
        samples: How many samples there are.
        axis: The axis of the data on which they stand.
        each: How many consecutive rows of the loss belong to one sample.
    """

    samples: int
    axis: int
    each: int


def rows_of(data: torch.Tensor, count: int) -> Rows | None:
    """How ``count`` rows of a loss belong to data of this shape; None if that cannot be told.

    Either each is a sample of its own, on the first axis or (time first) the second; or the steps
    of sequences were laid end to end, (samples, steps, ...) to (samples * steps, ...).
    """
    shape = (*data.shape[:2], 0)
    if count in shape[:2]:
        return Rows(count, shape.index(count), 1)
    if count and count == shape[0] * shape[1]:
        return Rows(shape[0], 0, shape[1])
    return None


class Keys:
    """The keys of tensors' rows; those of the last few tensors are remembered."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def of(self, data: torch.Tensor, axis: int = 0) -> torch.Tensor:
        """A key for each place on that axis."""
        name = (id(data), data._version, axis)
        if name not in self._known:
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[name] = (data, row_keys(data.movedim(axis, 0)))
        return self._known[name][1]


def _is_another_batch(first: Piece, piece: Piece) -> bool:
    same = piece.weight is first.weight
    return same and piece.data.shape[:1] != first.data.shape[:1]


class Entered:
    """What has entered since the last loss."""

    def __init__(self) -> None:
        self.keys = Keys()
        self._pieces: list[Piece] = []

    def clear(self) -> None:
        """The next forward pass begins."""
        self._pieces = []

    def add(self, piece: Piece) -> None:
        """A piece of data has entered; the same one again is no news.

        Another number of samples at the first weights begins another pass: the script has computed
        outputs that no loss was made of.
        """
        if self._pieces and _is_another_batch(self._pieces[0], piece):
            self.clear()
        known = any(one.data is piece.data for one in self._pieces)
        if len(self._pieces) < MOST_PIECES and not known:
            self._pieces.append(piece)

    def rows(self, count: int) -> Rows | None:
        """How so many rows of a loss belong to what has entered first."""
        return rows_of(self._pieces[0].data, count) if self._pieces else None

    def samples(self, rows: Rows) -> torch.Tensor:
        """The keys of the samples, from everything that has so many of them on that axis."""
        first, *others = (one.data for one in self._pieces)
        found = self.keys.of(first, rows.axis)
        for one in others:
            if (
                one.dim() > rows.axis
                and one.shape[rows.axis] == rows.samples
                and (
                    one.dim() > 1 or first.dim() == 1  # else positions, which are nobody's content
                )
            ):
                found = joined(found, self.keys.of(one, rows.axis))
        return found
