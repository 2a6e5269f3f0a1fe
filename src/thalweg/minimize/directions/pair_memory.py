r"""The last m pairs of step and change of gradient, and the small matrices made of them.

S and Y, n x m, lie row by row in one block, s and y of a pair beside each other, and above them the
vector v that they were last multiplied with. At large n a step costs what passing over that block
costs, not the additions. There are two passes a step: one multiplies all rows with the gradient and
the newest y at once, one adds all rows up.

A pair is written into rows of its own, and takes the oldest one's place only if it is kept.

Kept of the inner products, in float64: Y'Y, and of S'Y the part s_i'y_j where s_i is no younger
than y_j. In order of age that is an upper triangle, and it is all that the compact forms need (R.
Byrd, J. Nocedal & R. Schnabel, *Math. Program.* 63, 1994).

Memory: (2 m + 3) n numbers, allocated with the first pair.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.directions.pair import Sizes
from thalweg.minimize.inner_product import dot, dots


@final
@dataclass(frozen=True, eq=False)
class Multiplied:
    """What multiplying the rows gave.

    Attributes:
        vector: v.
        products: float64, shape (rows, 2): with v, and with the y of one of the pairs.
    """

    vector: Tensor
    products: Tensor


@final
class PairMemory:
    """Up to `capacity` pairs.

    Attributes:
        capacity: m.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._rows: Tensor | None = None  # v, s_0, y_0, s_1, y_1, ...
        self._written = 0  # places in the block that have held a pair
        self._ages: list[int] = []  # the pairs' places in the block, oldest first
        self._sy = torch.zeros(capacity + 1, capacity + 1, dtype=torch.float64)
        self._yy = torch.zeros(capacity + 1, capacity + 1, dtype=torch.float64)
        self._last: Multiplied | None = None

    def __len__(self) -> int:
        """How many pairs it holds."""
        return len(self._ages)

    @property
    def youngest(self) -> Tensor:
        """The step of the last pair, shape (n,)."""
        return self._block()[1 + 2 * self._newest()]

    def room(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Where to write s and y of a pair, shape (n,) each; `weigh` and `keep` are about it."""
        if self._rows is None:
            self._rows = like.new_empty((2 * self.capacity + 3, len(like)))
        at = 1 + 2 * self._free()
        return self._rows[at], self._rows[at + 1]

    def weigh(self, vector: Tensor) -> Sizes:
        """Sizes of the pair that was written. One pass, which also makes `products(vector)`."""
        at = self._free()
        self._last = self._multiplied(vector, at)
        (_, sy), (_, yy) = self._last.products[1 + 2 * at : 3 + 2 * at].tolist()
        s = self._block()[1 + 2 * at]
        return Sizes(dot(s, s), sy, yy, torch.finfo(s.dtype).eps)

    def keep(self) -> None:
        """Keep the pair that was weighed, in place of the oldest if there is no room."""
        if self._last is None:
            raise RuntimeError("PairMemory.keep: no pair was weighed; call weigh first.")
        at = self._free()
        self._written = max(self._written, at + 1)
        self._ages = [*self._ages[len(self) == self.capacity :], at]
        with_y = self._last.products[1:, 1]
        self._sy[: self._written, at] = with_y[0::2]
        self._yy[: self._written, at] = self._yy[at, : self._written] = with_y[1::2]

    def drop(self) -> None:
        """Forget the pair that was weighed."""
        self._last = None
        at = self._free()
        if at < self._written:  # sums pass over it, and it may not be finite
            self._block()[1 + 2 * at : 3 + 2 * at] = 0.0

    def triangle(self) -> Tensor:
        """R: s_i'y_j for i no younger than j, oldest first; float64, shape (k, k)."""
        return self._aged(self._sy).triu()

    def changes(self) -> Tensor:
        """Y'Y, oldest first; float64, shape (k, k)."""
        return self._aged(self._yy)

    def products(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """S'v and Y'v, oldest first; float64, shape (k,) each. One pass, or none after `weigh`."""
        known, self._last = self._last, None
        if known is None or known.vector is not vector:
            known = self._multiplied(vector, self._newest())
        of_rows = known.products[1:, 0].reshape(-1, 2)[self._ages]
        return of_rows[:, 0], of_rows[:, 1]

    def added_to(self, share: float, of_steps: Tensor, of_changes: Tensor) -> Tensor:
        """c v + S a + Y b, v being the vector that `products` was asked for last. One pass.

        Args:
            share: c.
            of_steps, of_changes: a and b, oldest first, shape (k,).
        """
        weights = torch.zeros(1 + 2 * self._written, dtype=torch.float64)
        weights[0] = share
        weights[1:].view(-1, 2)[self._ages] = torch.stack([of_steps, of_changes], 1)
        return torch.mv(self._block()[: len(weights)].T, weights.to(self._block()))

    def state_dict(self) -> dict[str, Any]:
        """The pairs, oldest first, and their products."""
        pairs = torch.empty(0)
        if self._ages:
            pairs = self._in_pairs()[self._ages]
        return {
            "pairs": pairs,
            "ages": list(self._ages),
            "written": self._written,
            "sy": self._sy.clone(),
            "yy": self._yy.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The same.

        Raises:
            ValueError: it is the state of a memory of another capacity.
        """
        if state["sy"].shape != self._sy.shape:
            held = len(state["sy"]) - 1
            raise ValueError(
                f"load_state_dict: the state is of a memory of {held} pairs, this one holds "
                f"{self.capacity}. Make the direction with memory={held}."
            )
        pairs, self._ages, self._written = state["pairs"], list(state["ages"]), state["written"]
        self._sy, self._yy = state["sy"].cpu().clone(), state["yy"].cpu().clone()
        self._rows = self._last = None
        if self._ages:
            self._rows = pairs.new_zeros((2 * self.capacity + 3, pairs.shape[2]))
            self._in_pairs()[self._ages] = pairs

    def _multiplied(self, vector: Tensor, at: int) -> Multiplied:
        """All rows with v and with the y of the pair at `at`.

        With both also where only v is asked for: the same sums then have the same digits.
        """
        block = self._block()
        block[0].copy_(vector)
        rows = block[: 1 + 2 * max(self._written, at + 1)]
        both = rows[:: 2 + 2 * at][:2]
        return Multiplied(vector, dots(rows, both))

    def _free(self) -> int:
        """The place in the block where no pair is."""
        return min(set(range(self.capacity + 1)).difference(self._ages))

    def _in_pairs(self) -> Tensor:
        """The rows of the pairs, shape (m + 1, 2, n)."""
        rows = self._block()[1:]
        return rows.view(-1, 2, rows.shape[1])

    def _newest(self) -> int:
        """The place in the block of the last pair."""
        if not self._ages:
            raise RuntimeError("PairMemory: it holds no pair yet; write one, weigh it, keep it.")
        return self._ages[-1]

    def _block(self) -> Tensor:
        """The rows."""
        if self._rows is None:
            raise RuntimeError("PairMemory: there is no room yet; ask for it with `room`.")
        return self._rows

    def _aged(self, matrix: Tensor) -> Tensor:
        """Rows and columns by age, the oldest first."""
        return matrix[self._ages][:, self._ages]
