"""Metrics that a script computes with scikit-learn of what its model gave.

Where a value that descends from the parameters leaves PyTorch (``numpy``, ``tolist``, ``item``) and
``sklearn.metrics`` is loaded, the value is remembered until the next update. A metric called
meanwhile is an evaluation: certainly, if what it is given was made of remembered values row by row
(themselves, the largest of each row, a threshold, a change of units), else in doubt, since a script
may also measure a baseline or a training epoch there.

Every metric of scikit-learn stands in a wrapper that checks its arguments, and the wrapper looks
its function up in a cell of its closure. While a recording lasts the cell holds a function that
computes the same and tells; so the metrics themselves stay the objects that they are, for whoever
has imported them before, asks for their signature or pickles them. What scikit-learn does not wrap
is not seen.

Memory: at most four million numbers of the step at hand.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import CellType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.recorder.recording import ENDINGS

LIBRARY = "sklearn.metrics"
MOST_NUMBERS, MOST_COLUMNS = 4_000_000, 64
# Of the others the name in words is the kind.
NAMES = {"accuracy_score": "accuracy", "zero_one_loss": "error rate"}
# Measures of clusters, which are given no predictions; of the last less is better.
OTHERS = frozenset({"silhouette_score", "calinski_harabasz_score", "davies_bouldin_score"})

Table = NDArray[np.float64]
Compute = Callable[..., Any]


@dataclass(frozen=True)
class Left:
    """Values of the model that have left PyTorch.

    Attributes:
        rows: The values, shape (rows, columns).
        way: The way by which the script came there.
        training: Whether they were made of a graph that training differentiates.
    """

    rows: Table
    way: int
    training: bool


class OwnMetrics:
    """Remembers what the model gave, and hears of the metrics that are made of it.

    Args:
        step: How many updates have been made.
        tell: Told of each metric: its kind, whether it is one of training, whether it is in doubt,
            and its value.
    """

    def __init__(
        self, step: Callable[[], int], tell: Callable[[str, bool, bool, float], None]
    ) -> None:
        self._now, self._tell = step, tell
        self._left: list[Left] = []
        self._step, self._numbers = -1, 0
        self._undo: list[Callable[[], None]] = []
        self._inside = False

    def wanted(self) -> bool:
        """Whether the library is loaded; its metrics are heard from then on."""
        library = sys.modules.get(LIBRARY)
        if library is None:
            return False
        if not self._undo:
            self._undo = [self._hear(name, cell) for name, cell in metrics_of(library)]
        return True

    def left(self, values: torch.Tensor, way: int, training: bool) -> None:
        """Remember values that leave PyTorch."""
        if self._step != self._now():
            self._left, self._step, self._numbers = [], self._now(), 0
        self._numbers += values.numel()
        if values.numel() and self._numbers <= MOST_NUMBERS and not values.is_complex():
            numbers = values.detach().to("cpu", torch.float64, copy=True)
            self._left.append(Left(_table(numbers.numpy()), way, training))

    def finished(self) -> None:
        """Put every metric back."""
        for undo in self._undo:
            undo()
        self._undo, self._left = [], []

    def _hear(self, name: str, cell: CellType) -> Callable[[], None]:
        compute: Compute = cell.cell_contents
        kind = NAMES.get(name, name.replace("_", " "))

        @functools.wraps(compute)
        def telling(*args: Any, **kwargs: Any) -> Any:
            if self._inside:  # one metric that computes another
                return compute(*args, **kwargs)
            self._inside = True
            try:
                value = compute(*args, **kwargs)
            finally:
                self._inside = False
            if isinstance(value, int | float | np.number):
                self._computed(kind, [*args[:2], *kwargs.values()], float(value))
            return value

        cell.cell_contents = telling
        return lambda: setattr(cell, "cell_contents", compute)

    def _computed(self, kind: str, given: Sequence[Any], value: float) -> None:
        if not self._left or self._step != self._now():
            return
        source = self._source(given)
        doubtful = source is None
        training = all(one.training for one in ([source] if source else self._left))
        self._tell(kind, training, doubtful, value)

    def _source(self, given: Sequence[Any]) -> Left | None:
        """The last of the values that one of these was made of; None if none was."""
        try:
            with torch._C.DisableTorchFunction(), np.errstate(all="ignore"):
                tables = [table for one in given if (table := _numbers(one)) is not None]
                return next((one for table in tables for one in self._sources(table)), None)
        except Exception:  # a script may give a metric anything, and is not to hear of it here
            return None

    def _sources(self, table: Table) -> Iterator[Left]:
        for way in dict.fromkeys(one.way for one in reversed(self._left)):
            ends = [one for one in self._left if one.way == way]
            whole = last_rows([one.rows for one in ends], len(table))
            single = last_rows([one.rows.reshape(-1, 1) for one in ends], len(table))
            if any(one is not None and made_of(table, one) for one in (whole, single)):
                yield ends[-1]


def metrics_of(library: ModuleType) -> Iterator[tuple[str, CellType]]:
    """Name of each metric that gives a number, and the cell in which its function stands."""
    for name in library.__all__:
        wrapper = getattr(library, name, None)
        if name in OTHERS or name.rpartition("_")[2] not in ENDINGS:
            continue
        if isinstance(wrapper, FunctionType) and "func" in wrapper.__code__.co_freevars:
            cells = wrapper.__closure__ or ()
            yield name, cells[wrapper.__code__.co_freevars.index("func")]


def last_rows(tables: Sequence[Table], count: int) -> Table | None:
    """The last tables below one another, if they have so many rows together."""
    found: list[Table] = []
    for table in reversed(tables):
        if count <= 0 or (found and table.shape[1] != found[0].shape[1]):
            break
        found.append(table)
        count -= len(table)
    return np.concatenate(found[::-1]) if found and count == 0 else None


def made_of(table: Table, outputs: Table) -> bool:
    """Whether each row was made of the same row of outputs.

    Known are the place of the largest output, and an output's own value or what rises or falls
    with it: a threshold, another unit, a logarithm.
    """
    if table.shape[1] == 1:
        columns = outputs.T[:MOST_COLUMNS]
        largest = np.array_equal(table[:, 0], outputs.argmax(1))
        return largest or any(_follows(table[:, 0], one) for one in columns)
    pairs = zip(table.T, outputs.T, strict=False)
    return table.shape == outputs.shape and all(_follows(*pair) for pair in pairs)


def _follows(values: Table, outputs: Table) -> bool:
    """Whether values rise (fall) wherever the outputs do; those that do neither must be equal."""
    if values.min() == values.max():
        return np.array_equal(values, outputs)
    rises = np.diff(values[np.argsort(outputs, kind="stable")])
    return bool((rises >= 0).all() or (rises <= 0).all())


def _numbers(part: Any) -> Table | None:
    """What a metric is given as a table; None if it is no data."""
    if not hasattr(part, "__len__") or isinstance(part, str | dict):
        return None
    array = np.asarray(part)
    fits = array.dtype.kind in "biuf" and 0 < array.size <= MOST_NUMBERS
    return _table(array.astype(np.float64)) if fits and array.ndim else None


def _table(array: NDArray[Any]) -> Table:
    """One row for each entry of the first axis."""
    return array.reshape(len(array) if array.ndim else 1, -1)
