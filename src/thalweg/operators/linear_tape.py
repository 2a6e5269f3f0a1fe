r"""A linear function of some tensors, written down once and played again without the rest.

A derivative's product with a vector consists of two kinds of operations: those on the point where
it is taken, whose results are the same at every product, and those that the vector flows through.
Recording one product notes the second kind alone; what the first kind computed is kept as
constants. Playing it costs what the second kind costs, and draws no random numbers.

What is recorded are PyTorch's elementary operations, below automatic differentiation. Operations in
place are recorded too: memory that the vector reaches begins each play as it was before.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.operators.seen import KEY, Seen, place
from thalweg.operators.simplification import simplify

Tensors = dict[str, Tensor]
# Operations that answer with a number which is not of a shape or a memory.
READERS = frozenset(
    {
        torch.ops.aten._local_scalar_dense.default,
        torch.ops.aten.equal.default,
        torch.ops.aten.is_nonzero.default,
    }
)


class CannotRecordError(NotImplementedError):
    """What flows through an operation cannot be written down; the message says which."""


def recorded(product: Callable[[Tensors], Tensors], example: Mapping[str, Tensor]) -> LinearTape:
    """The tape of `product`, a linear function of tensors by name.

    Args:
        product: called once.
        example: what it is called with; only shapes, precisions and devices matter.

    Raises:
        CannotRecordError: the function reads a number out of what depends on its argument.
    """
    recorder = Recorder()
    inputs = {name: recorder.input(one.clone()) for name, one in example.items()}
    with recorder:
        outputs = product(inputs)
    return LinearTape(recorder, outputs)


@final
class LinearTape:
    """A recorded function.

    Attributes:
        program: the operations, as a module from the inputs in order to the outputs in order.
    """

    def __init__(self, recorder: Recorder, outputs: Mapping[str, Tensor]) -> None:
        graph, self._names = recorder.graph, list(outputs)
        graph.output(tuple(recorder.node(one) for one in outputs.values()))
        constants = {name: one.detach() for name, one in recorder.constants.items()}
        with torch.no_grad():
            simplify(graph, constants)
        self.program: Any = fx.GraphModule(constants, graph)
        self._constants = list(constants.values())
        self._versions = list(map(version, self._constants))

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """The function's value at other tensors of the same names, shapes and order.

        Raises:
            RuntimeError: a constant was written to since, by whoever else holds it.
        """
        if list(map(version, self._constants)) != self._versions:
            raise RuntimeError(
                "a tensor that products need was written to in place after the operator was made "
                "(a batch of the data?); hand over a copy, or build the operator again."
            )
        with torch.no_grad():
            found = self.program(*inputs.values())
        return dict(zip(self._names, found, strict=True))

    @property
    def constants(self) -> list[Tensor]:
        """What is kept for playing."""
        return self._constants


@final
class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operations that depend on its inputs while it is the mode.

    Attributes:
        graph: the operations so far.
        constants: the tensors that they read and that do not depend on the inputs, by name.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self._nodes: dict[int, fx.Node] = {}
        self._names: dict[int, str] = {}
        self._read: dict[int, list[Tensor]] = {}  # constants, by the memory that they lie in
        self._memories: dict[int, fx.Node] = {}
        self._sharing: dict[int, int] = {}  # how many tensors with nodes lie in a memory
        self._kept: list[Tensor] = []  # so that no identity is used twice

    def input(self, tensor: Tensor) -> Tensor:
        """Declare an input; hand the same tensor to the function."""
        return self._noted(tensor, self.graph.placeholder(f"x{len(self._nodes)}"))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation, and note it if it depends on an input."""
        func, kwargs = with_memory(func), kwargs or {}
        written = targets(func, args, kwargs)
        reads = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if not any(map(self._depends, reads)):
            self._set_aside(written)
            return func(*args, **kwargs)
        noted = self._elsewhere(func, written, reads) or func
        for target in written if noted is func else ():
            self._renewed(target)
        given = tree_map(lambda x: self.node(x) if isinstance(x, Tensor) else x, (args, kwargs))
        results = func(*args, **kwargs)
        self._note_results(noted, results, self.graph.call_function(noted, *given))
        return results

    def _elsewhere(self, func: Any, written: list[Tensor], reads: list[Tensor]) -> Any:
        """For an operation in place on a tensor without views, that with a result of its own."""
        own = len(written) == 1 and id(written[0]) in self._nodes
        if not own or self._sharing[place(written[0])] > 1 or place(written[0]) in self._memories:
            return None
        name = func._schema.name.removeprefix("aten::")
        if not name.endswith("_") or len({x.dtype for x in reads}) > 1:
            return None
        return getattr(getattr(torch.ops.aten, name[:-1], None), func._overloadname, None)

    def node(self, tensor: Tensor) -> fx.Node:
        """What stands for `tensor` in the graph."""
        if id(tensor) in self._nodes:
            return self._nodes[id(tensor)]
        memory = self._memories.get(place(tensor))
        if memory is None:
            return self._constant(tensor)
        view = (memory, tuple(tensor.shape), tensor.stride(), tensor.storage_offset())
        node = self.graph.call_function(torch.ops.aten.as_strided.default, view)
        self._noted(tensor, node)
        return node

    def _depends(self, tensor: Tensor) -> bool:
        return id(tensor) in self._nodes or place(tensor) in self._memories

    def _noted(self, tensor: Tensor, node: fx.Node) -> Tensor:
        node.meta[KEY] = Seen.of(tensor)
        if self._nodes.get(id(tensor)) is None:
            self._sharing[place(tensor)] = self._sharing.get(place(tensor), 0) + 1
        self._nodes[id(tensor)] = node
        self._kept.append(tensor)
        return tensor

    def _constant(self, tensor: Tensor) -> fx.Node:
        if id(tensor) not in self._names:
            name = self._names[id(tensor)] = f"constant{len(self.constants)}"
            self.constants[name] = tensor
            self._read.setdefault(place(tensor), []).append(tensor)
        node = self.graph.get_attr(self._names[id(tensor)])
        node.meta[KEY] = Seen.of(tensor)
        return node

    def _renewed(self, target: Tensor) -> None:
        """Memory that is about to be written begins each play as it is now."""
        if self._depends(target):
            return
        whole = target.as_strided((target.untyped_storage().nbytes() // target.itemsize,), (1,), 0)
        before = self._constant(whole.clone())
        fresh = self.graph.call_function(torch.ops.aten.clone.default, (before,))
        fresh.meta[KEY] = Seen.of(target)
        self._memories[place(target)] = fresh
        self._kept.append(target)

    def _set_aside(self, written: list[Tensor]) -> None:
        """Copy constants that are about to be written over; they are read as they were."""
        for target in written:
            for one in self._read.pop(place(target), []):
                self.constants[self._names.pop(id(one))] = one.clone()

    def _note_results(self, func: Any, results: Any, node: fx.Node) -> None:
        if isinstance(results, Tensor):
            self._noted(results, node)
        elif isinstance(results, (tuple, list)):
            for i, one in enumerate(results):
                self._note_results(func, one, self.graph.call_function(operator.getitem, (node, i)))
        elif func in READERS:
            raise CannotRecordError(f"{func} reads a number out of what the vector flows through.")


@final
class RealZeros(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tangents that are zero have memory like others: PyTorch writes into some of them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation."""
        return with_memory(func)(*args, **(kwargs or {}))


def with_memory(func: Any) -> Any:
    """The operation, and for the one that makes zeros without memory the one that makes real ones.

    In PyTorch 2.13 the former fail in forward mode over the backward of `mse_loss`, which writes
    into them, and end the process where a mode like ours is active.
    """
    aten = torch.ops.aten
    return aten.zeros.default if func is aten._efficientzerotensor.default else func


def targets(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that an operation writes into."""
    declared = func._schema.arguments
    if not func._schema.is_mutable:
        return []
    values = {a.name: value for a, value in zip(declared, args, strict=False)} | dict(kwargs)
    written = [a.name for a in declared if a.alias_info is not None and a.alias_info.is_write]
    leaves = tree_leaves([values.get(name) for name in written])
    return [x for x in leaves if isinstance(x, Tensor)]


def version(tensor: Tensor) -> int:
    """How often a tensor was written to in place, where PyTorch counts it."""
    return 0 if tensor.is_inference() else tensor._version
