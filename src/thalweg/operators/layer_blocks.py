r"""The block-diagonal part of an operator over groups of parameters, such as layers.

    B = diag(A_1, ..., A_b),      A_i = the rows and columns of A that belong to group i

Each block is an operator of its own: its spectrum is the layer's, its inverse a step for the layer.

    BlockDiagonal.of(lambda names: Hessian.of_model(model, loss, data, params=names), layers(model))

makes each block from the layer's parameters as the only variables: a product costs at most what it
costs the whole operator, and less for layers near the output. `Restricted` cuts a block out of an
operator that is there already, at the price of one product of the whole for each block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from thalweg.operators.layout import Layout
from thalweg.operators.model_loss import trainable_parameters
from thalweg.operators.operator import ParameterOperator

Groups = Mapping[str, Iterable[str]]


def layers(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """The parameters that require gradients, by the path of the module that holds them.

    Tied parameters appear once, with the module that comes first; parameters of the model itself
    are under the empty path.
    """
    groups: dict[str, tuple[str, ...]] = {}
    for name in trainable_parameters(model):
        path = name.rpartition(".")[0]
        groups[path] = (*groups.get(path, ()), name)
    return groups


@final
class BlockDiagonal(ParameterOperator):
    """Operators on separate parameters as one.

    Args:
        blocks: labels to operators, no parameter in two of them, at the same place of one loss.

    Attributes:
        blocks: as given.
        loss: that of the first block.
        gradient: the blocks' gradients, joined.

    Raises:
        ValueError: no block, or a parameter in two of them.

    Cost of a product: one product of every block.
    """

    def __init__(self, blocks: Mapping[str, ParameterOperator]) -> None:
        self.blocks = dict(blocks)
        parts = list(self.blocks.values())
        check_blocks(self.blocks)
        self.name = f"block-diagonal {parts[0].name}"
        self.layout = joined_layout([part.layout for part in parts])
        self.facts = frozenset.intersection(*(part.facts for part in parts))
        self.loss = parts[0].loss
        self.gradient = self._joined([part.gradient for part in parts])

    @classmethod
    def of(
        cls, operator_of: Callable[[tuple[str, ...]], ParameterOperator], groups: Groups
    ) -> BlockDiagonal:
        """Each block made from its parameters' names.

        Args:
            operator_of: from names of parameters to the operator in which they alone vary.
            groups: labels to names; `layers` gives those of a model. Operators refuse a group that
                the loss does not use at all; leave it out, or take `within`, where it is zero.
        """
        return cls({label: operator_of(tuple(names)) for label, names in groups.items()})

    @classmethod
    def within(cls, operator: ParameterOperator, groups: Groups) -> BlockDiagonal:
        """Blocks cut out of `operator`; see `Restricted`."""
        return cls.of(lambda names: Restricted(operator, names), groups)

    @property
    def held(self) -> int:
        """Bytes that the blocks hold for their products."""
        return sum(part.held for part in self.blocks.values())

    @property
    def place(self) -> Tensor:
        """The parameters, flat, shape (n,)."""
        return self._joined([part.place for part in self.blocks.values()])

    def _product(self, vector: Tensor) -> Tensor:
        return self._products(vector)

    def _products(self, vectors: Tensor) -> Tensor:
        sizes = [part.size for part in self.blocks.values()]
        pieces: tuple[Tensor, ...] = torch.split(vectors, sizes)
        pairs = zip(self.blocks.values(), pieces, strict=True)
        return self._joined([part @ piece.to(part.device, part.dtype) for part, piece in pairs])

    def exact_diagonal(self) -> Tensor | None:
        """The blocks' diagonals, joined, where all know theirs."""
        found = [part.exact_diagonal() for part in self.blocks.values()]
        known = [diagonal for diagonal in found if diagonal is not None]
        return self._joined(known) if len(known) == len(found) else None

    def _joined(self, pieces: list[Tensor]) -> Tensor:
        return torch.cat([piece.to(self.device, self.dtype) for piece in pieces])

    def close(self) -> None:
        """Close every block."""
        for part in self.blocks.values():
            part.close()


@final
class Restricted(ParameterOperator):
    """P A P': the rows and columns of an operator that belong to some of its parameters.

    Args:
        operator: A. It stays open when the restriction is closed.
        names: of the parameters, in any order; they keep the operator's.

    Raises:
        ValueError: no name, or one that the operator does not have.

    Cost of a product: one product of A.
    """

    def __init__(self, operator: ParameterOperator, names: Iterable[str]) -> None:
        chosen = set(names)
        check_chosen(operator, chosen)
        self.name, self.facts, self.loss = operator.name, operator.facts, operator.loss
        self._operator: ParameterOperator | None = operator
        self.layout, self._places = sublayout(operator.layout, chosen)
        self.gradient = self._part(operator.gradient)

    @property
    def place(self) -> Tensor:
        """The parameters, flat, shape (n,)."""
        return self._part(self._open().place)

    def loss_at(self, by: Tensor) -> float:
        """The loss at the parameters plus `by`, the others where they are."""
        return self._open().loss_at(self._padded(by))

    def gradient_at(self, by: Tensor) -> Tensor:
        """The gradient at the parameters plus `by`, the others where they are."""
        return self._part(self._open().gradient_at(self._padded(by)))

    def _product(self, vector: Tensor) -> Tensor:
        return self._products(vector)

    def _products(self, vectors: Tensor) -> Tensor:
        return self._part(self._open() @ self._padded(vectors))

    def exact_diagonal(self) -> Tensor | None:
        """The operator's own, where it knows it."""
        diagonal = self._open().exact_diagonal()
        return None if diagonal is None else self._part(diagonal)

    def _part(self, whole: Tensor) -> Tensor:
        return whole[self._places].to(self.device, self.dtype)

    def _padded(self, vectors: Tensor) -> Tensor:
        operator = self._open()
        rows = vectors.new_zeros(
            operator.size, *vectors.shape[1:], dtype=operator.dtype, device=operator.device
        )
        return rows.index_copy(0, self._places, vectors.to(operator.device, operator.dtype))

    def _open(self) -> ParameterOperator:
        if self._operator is None:
            raise RuntimeError(
                f"{self.name} @ v after close(): take the products inside the with block, or "
                "restrict the operator again."
            )
        return self._operator

    def close(self) -> None:
        """Let go of the operator, which stays open."""
        self._operator = None


def joined_layout(layouts: Sequence[Layout]) -> Layout:
    """The layouts one after the other."""
    return Layout(
        names=tuple(name for one in layouts for name in one.names),
        shapes=tuple(shape for one in layouts for shape in one.shapes),
        dtypes=tuple(dtype for one in layouts for dtype in one.dtypes),
        devices=tuple(device for one in layouts for device in one.devices),
    )


def sublayout(layout: Layout, chosen: set[str]) -> tuple[Layout, Tensor]:
    """The layout of the chosen parameters, and where their numbers lie in the whole vector."""
    kept = [i for i, name in enumerate(layout.names) if name in chosen]
    sizes = [shape.numel() for shape in layout.shapes]
    pieces: tuple[Tensor, ...] = torch.split(torch.arange(layout.size), sizes)
    part = Layout(
        names=tuple(layout.names[i] for i in kept),
        shapes=tuple(layout.shapes[i] for i in kept),
        dtypes=tuple(layout.dtypes[i] for i in kept),
        devices=tuple(layout.devices[i] for i in kept),
    )
    return part, torch.cat([pieces[i] for i in kept]).to(layout.device)


def check_blocks(blocks: Mapping[str, ParameterOperator]) -> None:
    """Raise ValueError unless there are blocks, on separate parameters."""
    if not blocks:
        raise ValueError("BlockDiagonal: there is no block; give at least one.")
    seen: dict[str, str] = {}
    for label, block in blocks.items():
        for name in block.layout.names:
            if name in seen:
                raise ValueError(
                    f"BlockDiagonal: {name!r} is in blocks {seen[name]!r} and {label!r}; every "
                    "parameter belongs to one block at most."
                )
            seen[name] = label


def check_chosen(operator: ParameterOperator, chosen: set[str]) -> None:
    """Raise ValueError on a name that `operator` does not have, or on none at all."""
    unknown = sorted(chosen - set(operator.layout.names))
    if unknown or not chosen:
        odd = f"has no parameter {unknown[0]!r}" if unknown else "is restricted to no parameter"
        raise ValueError(
            f"Restricted: {operator.name} {odd}; it has {', '.join(operator.layout.names)}."
        )
