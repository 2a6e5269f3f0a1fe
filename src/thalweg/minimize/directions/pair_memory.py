r"""The last m pairs of step and change of gradient, and the small matrices made of them.

S and Y, n x m, lie row by row in one block, s and y of a pair beside each other, so that each
inner product with all of them, and each combination of them, is one pass over one matrix: at large
n that is what a step costs, not the additions. A pair in excess is written over the oldest.

Kept of the inner products, in float64: Y'Y, and of S'Y the part s_i'y_j where s_i is no younger
than y_j. In order of age that is an upper triangle, and it is all that the compact forms need (R.
Byrd, J. Nocedal & R. Schnabel, *Math. Program.* 63, 1994).

Memory: 2 m n numbers, allocated with the first pair. Time: one pass a pair.
"""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.directions.pair import Pair


@final
class PairMemory:
    """Up to `capacity` pairs.

    Attributes:
        capacity: m.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._rows: Tensor | None = None  # s_0, y_0, s_1, y_1, ...
        self._ages: list[int] = []  # the pairs' places in the block, oldest first
        self._sy = torch.zeros(capacity, capacity, dtype=torch.float64)
        self._yy = torch.zeros(capacity, capacity, dtype=torch.float64)

    def __len__(self) -> int:
        """How many pairs it holds."""
        return len(self._ages)

    def append(self, taught: Pair) -> None:
        """Keep a pair, in place of the oldest if there is no room."""
        if self._rows is None:
            self._rows = taught.s.new_empty((2 * self.capacity, len(taught.s)))
        full = len(self) == self.capacity
        at = self._ages.pop(0) if full else len(self)
        self._ages.append(at)
        self._rows[2 * at].copy_(taught.s)
        self._rows[2 * at + 1].copy_(taught.y)
        sy, yy = self._products(taught.y)
        count = len(self)
        self._sy[:count, at] = sy
        self._yy[:count, at] = self._yy[at, :count] = yy

    @property
    def youngest(self) -> Tensor:
        """The step of the last pair, shape (n,)."""
        return self._filled()[2 * self._ages[-1]]

    def triangle(self) -> Tensor:
        """R: s_i'y_j for i no younger than j, oldest first; float64, shape (k, k)."""
        return self._aged(self._sy).triu()

    def changes(self) -> Tensor:
        """Y'Y, oldest first; float64, shape (k, k)."""
        return self._aged(self._yy)

    def products(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """S'v and Y'v, oldest first; float64, shape (k,) each. One pass."""
        s, y = self._products(vector)
        return s[self._ages], y[self._ages]

    def added_to(self, vector: Tensor, of_steps: Tensor, of_changes: Tensor) -> Tensor:
        """v + S a + Y b for a = `of_steps` and b = `of_changes`, oldest first. One pass."""
        weights = torch.empty(2 * len(self), dtype=torch.float64)
        places = torch.tensor(self._ages)
        weights[2 * places], weights[2 * places + 1] = of_steps, of_changes
        return torch.addmv(vector, self._filled().T, weights.to(vector))

    def state_dict(self) -> dict[str, Any]:
        """The pairs, oldest first, and their products."""
        rows = self._filled() if self._rows is not None else torch.empty(0)
        return {
            "rows": rows.clone(),
            "ages": list(self._ages),
            "sy": self._sy.clone(),
            "yy": self._yy.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The same.

        Raises:
            ValueError: it is the state of a memory of another capacity.
        """
        if state["sy"].shape != self._sy.shape:
            raise ValueError(
                f"load_state_dict: the state is of a memory of {len(state['sy'])} pairs, this one "
                f"holds {self.capacity}. Make the direction with memory={len(state['sy'])}."
            )
        rows, self._ages = state["rows"], list(state["ages"])
        self._sy, self._yy = state["sy"].clone(), state["yy"].clone()
        self._rows = None
        if self._ages:
            self._rows = rows.new_empty((2 * self.capacity, rows.shape[1]))
            self._filled().copy_(rows)

    def _products(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """S'v and Y'v in the order of the block."""
        both = (self._filled() @ vector).double().cpu()
        return both[0::2], both[1::2]

    def _filled(self) -> Tensor:
        """The rows in use."""
        if self._rows is None:
            raise RuntimeError("PairMemory: it holds no pair yet; append one first.")
        return self._rows[: 2 * len(self)]

    def _aged(self, matrix: Tensor) -> Tensor:
        """Rows and columns by age, the oldest first."""
        return matrix[self._ages][:, self._ages]
