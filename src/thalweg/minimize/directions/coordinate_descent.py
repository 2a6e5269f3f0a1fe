r"""Coordinate descent: to the minimum along one coordinate, or in one block of them, at a time.

    x_B <- x_B - H_BB^-1 g_B

The step is exact where the loss is quadratic in the block, and the first one to try elsewhere. On a
quadratic loss a round in fixed order is one of Gauss and Seidel's iterations for H x = b. Where
H_BB is not positive definite the sizes of its eigenvalues stand for them (`directions.spectrum`).

S. Wright, *Coordinate descent algorithms* (Math. Program. 151, 2015); J. Nutini et al., *Coordinate
descent converges faster with the Gauss-Southwell rule than random selection* (arXiv 1506.00552).

Cost: a product for each coordinate of the block, and |B|^3 operations.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.escape import stay
from thalweg.minimize.directions.quadratic_model import proposed
from thalweg.minimize.directions.settings import check_choice, check_count, root_of_rounding
from thalweg.minimize.directions.spectrum import Spectrum, sizes, solved
from thalweg.operators import Operator

Order = Literal["cyclic", "random", "greedy"]
Blocks = int | Sequence[Sequence[int]]


def block_step(hessian: Operator, gradient: Tensor, block: Tensor) -> Proposal:
    """The step in one block.

    Args:
        hessian: H.
        gradient: g, shape (n,).
        block: indices of the block's coordinates, shape (k,).
    """
    units = torch.zeros(len(gradient), len(block)).to(gradient)
    units[block, range(len(block))] = 1
    spectrum = Spectrum.of((hessian @ units)[block])
    size = sizes(spectrum.values, "absolute", root_of_rounding(gradient.dtype))
    d = solved(spectrum, gradient[block], size)
    return proposed(torch.zeros_like(gradient).index_put((block,), d), gradient)


@final
class CoordinateDescent:
    """Coordinate and block coordinate descent.

    Args:
        blocks: how many coordinates in a row make a block; or the blocks themselves, as indices. A
            coordinate in none of them stays where it is.
        order: "cyclic", one after another; "random", each as likely; "greedy", the block with the
            longest gradient (Gauss-Southwell). A block whose gradient is nothing beside the others'
            is passed over.
        seed: of the random order.

    Raises:
        ValueError: a setting out of its domain; from `propose`, an index that the place lacks.
    """

    name = "coordinate-descent"
    needs: frozenset[Need] = frozenset({"hessian"})

    def __init__(self, blocks: Blocks = 1, *, order: Order = "cyclic", seed: int = 0) -> None:
        check_blocks(type(self).__name__, blocks)
        check_choice(type(self).__name__, "order", order, get_args(Order))
        self.blocks, self.order = blocks, order
        self._generator = torch.Generator().manual_seed(seed)
        self._turn = 0

    def propose(self, at: Place) -> Proposal:
        """The step in the block whose turn it is."""
        blocks = blocks_of(type(self).__name__, self.blocks, at.gradient)
        lengths = torch.stack([at.gradient[block].norm() for block in blocks]).double().cpu()
        if not bool(lengths.any()):
            return stay(at.x)
        least = root_of_rounding(at.x.dtype) * float(lengths.max())
        number = self._chosen(lengths, torch.nonzero(lengths > least)[:, 0])
        self._turn = number + 1
        return block_step(at.hessian(), at.gradient, blocks[number])

    def moved(self, before: Place, after: Place) -> None:
        """Nothing is learned from a step."""

    def state_dict(self) -> dict[str, Any]:
        """Whose turn it is, and the state of the random order."""
        return {"turn": self._turn, "generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this direction."""
        self._turn = int(state["turn"])
        self._generator.set_state(state["generator"].clone())

    def _chosen(self, lengths: Tensor, worth: Tensor) -> int:
        """The number of a block, one of `worth`."""
        if self.order == "greedy":
            return int(lengths.argmax())
        if self.order == "random":
            return int(worth[torch.randint(len(worth), (), generator=self._generator)])
        ahead = worth[worth >= self._turn]
        return int(ahead[0] if len(ahead) else worth[0])


def blocks_of(direction: str, blocks: Blocks, like: Tensor) -> list[Tensor]:
    """The indices of each block, on the device of a flat vector `like`.

    Raises:
        ValueError: the vector lacks an index.
    """
    if isinstance(blocks, int):
        return list(torch.split(torch.arange(len(like), device=like.device), blocks))
    largest = max(max(block) for block in blocks)
    if largest >= len(like):
        raise ValueError(
            f"{direction}(blocks=...): a block has the index {largest}; there are {len(like)} "
            f"parameters, 0 to {len(like) - 1}."
        )
    return [torch.tensor(list(block), device=like.device) for block in blocks]


def check_blocks(direction: str, blocks: Blocks) -> None:
    """Raise ValueError unless `blocks` is a size, or disjoint blocks of indices."""
    if isinstance(blocks, int):
        check_count(direction, "blocks", blocks)
        return
    indices = [index for block in blocks for index in block]
    if not blocks or not all(len(block) for block in blocks) or min(indices) < 0:
        raise ValueError(
            f"{direction}(blocks=...): give at least one block, each of one index or more, from 0."
        )
    if len(set(indices)) < len(indices):
        raise ValueError(f"{direction}(blocks=...): an index is in two blocks, or in one twice.")
