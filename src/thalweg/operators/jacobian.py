r"""The Jacobian of a model's output in its parameters: J v by how much each output moves.

    J = dz/dw,  m x n,     m numbers of the output of all the data, batch after batch

Cost: J v and J'u are 2/3 of a gradient each (`operators.linearization`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from thalweg.operators import memory as memory_of
from thalweg.operators.batches import Batches
from thalweg.operators.distributed import plain
from thalweg.operators.layout import Layout
from thalweg.operators.linear_map import LinearMap
from thalweg.operators.linearization import Leaves, Linearization, by_chunks
from thalweg.operators.linearization import joined as joined_columns
from thalweg.operators.linearization import spread as spread_columns
from thalweg.operators.model_loss import FrozenModel
from thalweg.operators.problem import Selection, constants, selected
from thalweg.operators.snapshot import Snapshot

Make = Callable[[], "Jacobian"]


@final
class Jacobian(LinearMap):
    """dz/dw at `params`.

    Args:
        output: from named parameters to the model's output: a tensor, or tuples, lists and dicts
            of tensors. Called once.
        params: names to tensors; the values are copied.

    Attributes:
        layout: where each parameter lies in a vector v of shape (n,).
        outputs: where each of the output's tensors lies in a vector u of shape (m,), row-major;
            those that do not depend on the parameters have no rows.
        value: the output there, flat, shape (m,).

    Raises:
        TypeError: `params` is not a mapping of names to tensors.
        ValueError: the output does not depend on the parameters, or is not finite.
        NotImplementedError: PyTorch has no second derivative of an operation.

    Use it as a context manager, or call `close()`, to free the graphs.
    """

    def __init__(
        self, output: Callable[[dict[str, Tensor]], Any], params: Mapping[str, Tensor]
    ) -> None:
        self.name = "Jacobian"
        self._linearization = Linearization(self.name, output, params)
        self.layout = self._linearization.layout
        self.outputs = layout_of(self._linearization.outputs)
        self.dtype = torch.promote_types(self.layout.dtype, self.outputs.dtype)
        self.device = self.layout.device
        self.value = self._flat(self._linearization.outputs, stacked=False)

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        data: Any,
        *,
        params: Selection = None,
        memory: float | None = None,
    ) -> Jacobian | StackedJacobian:
        """The Jacobian of a model's output on all `data`.

        Args:
            model: in the mode (train or eval) that is meant; it is left as it is.
            data: one batch (inputs, targets), or a list or `DataLoader` of batches; targets are
                not looked at and may be None. Under DDP, those of this process.
            params: which parameters vary, as for `Problem`; None for all that require gradients.
            memory: bytes that may be kept for products; None for a quarter of what is free.

        Raises:
            TypeError, ValueError: as `Batches`, `Problem` and the constructor.
        """
        model = plain(model)
        batches, variables = Batches(data), Snapshot.of(selected(model, params))
        frozen = FrozenModel(model, constants(model, variables))

        def output(inputs: Any, stream: int, params: Mapping[str, Tensor]) -> Any:
            with frozen.restarted(stream) as call:
                return call(params, inputs)

        def parts() -> Iterator[Make]:
            for stream, (batch, _, _) in enumerate(batches):
                yield partial(cls, partial(output, batch.inputs, stream), variables)

        if len(batches) == 1:
            return next(parts())()
        device = next(iter(variables.values())).device
        return StackedJacobian(parts, memory_of.budget(device) if memory is None else memory)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return (self.outputs.size, self.layout.size)

    def prepare(self) -> None:
        """Build what products J v need now, so that `held` counts it."""
        self._linearization.prepare()

    @property
    def held(self) -> int:
        """Bytes of the kept graphs, beside the parameters."""
        return self._linearization.held

    def _product(self, vector: Tensor) -> Tensor:
        stacked = vector.dim() == 2
        return self._flat(self._linearization.push(vector), stacked=stacked)

    def _products(self, vectors: Tensor) -> Tensor:
        return by_chunks(self._product, vectors, self._linearization.at_once)

    def _transposed_product(self, vector: Tensor) -> Tensor:
        return self._linearization.pull(self._leaves(vector)).to(self.dtype)

    def _transposed_products(self, vectors: Tensor) -> Tensor:
        return by_chunks(self._transposed_product, vectors, self._linearization.at_once)

    def _flat(self, leaves: Leaves, *, stacked: bool) -> Tensor:
        named = dict(zip(self.outputs.names, leaves, strict=True))
        return joined_columns(self.outputs, named, stacked).to(self.device, self.dtype)

    def _leaves(self, vectors: Tensor) -> Leaves:
        return tuple(spread_columns(self.outputs, vectors).values())

    def close(self) -> None:
        """Free the graphs; `value` stays, products are refused from here on."""
        self._linearization.close()

    def __enter__(self) -> Self:
        """The map itself; `close()` follows at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """`close()`, whatever happened."""
        self.close()


@final
class StackedJacobian(LinearMap):
    """The Jacobians of several batches, one below the other.

    Args:
        parts: gives how each batch's Jacobian is made, the same each time it is called.
        memory: bytes that they may keep together; the first ones keep theirs, the others are made
            anew for every product.

    Attributes:
        layout: where each parameter lies in a vector v of shape (n,).
        value: the outputs, flat, shape (m,).
    """

    def __init__(self, parts: Callable[[], Iterator[Make]], memory: float) -> None:
        self.name, self._parts, self._closed = "Jacobian", parts, False
        self._kept: list[Jacobian] = []
        values = [self._taken(number, make(), memory) for number, make in enumerate(parts())]
        self._rows = [len(value) for value in values]
        self.value = torch.cat(values)
        self.dtype, self.device = self.value.dtype, self.value.device

    def _taken(self, number: int, part: Jacobian, memory: float) -> Tensor:
        """A part's outputs; the part is kept if all before it were and memory allows."""
        self.layout = part.layout
        part.prepare()
        if number == len(self._kept) and self.held + part.held <= memory:
            self._kept.append(part)
        else:
            part.close()
        return part.value

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return (len(self.value), self.layout.size)

    @property
    def held(self) -> int:
        """Bytes of the kept graphs, beside the parameters."""
        return sum(part.held for part in self._kept)

    def _jacobians(self) -> Iterator[Jacobian]:
        if self._closed:
            raise RuntimeError(
                "Jacobian @ v after close(): the graph was freed. Take the products inside the "
                "with block, or build the Jacobian again."
            )
        yield from self._kept
        for number, make in enumerate(self._parts() if len(self._kept) < len(self._rows) else ()):
            if number >= len(self._kept):
                with make() as part:
                    yield part

    def _product(self, vector: Tensor) -> Tensor:
        return torch.cat([part @ vector for part in self._jacobians()])

    def _products(self, vectors: Tensor) -> Tensor:
        return self._product(vectors)

    def _transposed_product(self, vector: Tensor) -> Tensor:
        pieces: tuple[Tensor, ...] = torch.split(vector, self._rows)
        pairs = zip(self._jacobians(), pieces, strict=True)
        terms = [part.T @ piece for part, piece in pairs]
        return sum(terms[1:], terms[0])

    def _transposed_products(self, vectors: Tensor) -> Tensor:
        return self._transposed_product(vectors)

    def close(self) -> None:
        """Free the graphs; products are refused from here on."""
        for part in self._kept:
            part.close()
        self._kept, self._closed = [], True

    def __enter__(self) -> Self:
        """The map itself; `close()` follows at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """`close()`, whatever happened."""
        self.close()


def layout_of(outputs: Leaves) -> Layout:
    """Where each of the output's tensors lies in a flat vector; names are their numbers."""
    return Layout(
        names=tuple(str(i) for i in range(len(outputs))),
        shapes=tuple(z.shape for z in outputs),
        dtypes=tuple(z.dtype for z in outputs),
        devices=tuple(z.device for z in outputs),
    )
