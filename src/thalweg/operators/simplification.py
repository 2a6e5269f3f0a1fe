r"""A recorded linear function, rewritten to fewer and larger operations.

    turned        t(a b) is t(b) t(a), which comes out as it is needed
    merged        the same operation on the same operands is done once
    gathered      what acts number by number becomes sums with coefficients (`operators.pointwise`)
    accumulated   x + a b is one product of matrices that adds
    written over  a sum is written over a term of it that nothing else needs

The values are the same but for rounding. A tape may contain memory that is written in several
steps; what writes or reads such memory stays as it was recorded.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from thalweg.operators.pointwise import Constants, constant, gather
from thalweg.operators.seen import KEY, seen_of

aten: Any = torch.ops.aten

VIEWS = frozenset({aten.view.default, aten._unsafe_view.default, aten.reshape.default})
# Products of matrices: how an operand is turned, and the product that adds.
TURNS = {
    aten.mm.default: (aten.t.default, ()),
    aten.bmm.default: (aten.transpose.int, (1, 2)),
}
ADDING = {aten.mm.default: aten.addmm.default, aten.bmm.default: aten.baddbmm.default}
OVER = {
    aten.add.Tensor: aten.add_.Tensor,
    aten.sub.Tensor: aten.sub_.Tensor,
    aten.mul.Tensor: aten.mul_.Tensor,
    aten.mul.Scalar: aten.mul_.Scalar,
    aten.div.Scalar: aten.div_.Scalar,
    aten.addcmul.default: aten.addcmul_.default,
    # Not addmm_ and baddbmm_, which PyTorch's counter of operations does not know.
    aten.addmm.default: aten.addmm.out,
    aten.baddbmm.default: aten.baddbmm.out,
}
SYMMETRIC = frozenset({aten.add.Tensor, aten.mul.Tensor})


def simplify(graph: fx.Graph, constants: Constants) -> None:
    """Rewrite `graph` and what its `get_attr` nodes stand for, in place.

    Args:
        graph: what is known of its nodes' tensors is in their `meta` (`operators.seen`).
        constants: by name.
    """
    fixed = set(about_written_memory(graph))
    ask_for_shapes(graph, fixed)
    turn_products(graph, constants, fixed)
    merge(graph, constants, fixed)
    gather(graph, constants, fixed)
    sweep(graph)
    accumulate(graph, fixed)
    write_over(graph, fixed)
    sweep(graph)
    for name in set(constants) - {node.target for node in graph.nodes if node.op == "get_attr"}:
        del constants[name]


def about_written_memory(graph: fx.Graph) -> Iterator[fx.Node]:
    """The nodes that write to memory, lie in such memory, or read it."""
    writing = [node for node in graph.nodes if writes(node)]
    written = {memory_of(x) for node in writing for x in (node, *node.all_input_nodes)} - {None}
    for node in graph.nodes:
        if not written.isdisjoint(map(memory_of, (node, *node.all_input_nodes))):
            yield node


def memory_of(node: fx.Node) -> object:
    """The memory of the tensor that a node stands for; None where it stands for none."""
    seen = seen_of(node)
    return seen and seen.memory


def writes(node: fx.Node) -> bool:
    """Whether it is an operation in place."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and bool(schema.is_mutable)


def ask_for_shapes(graph: fx.Graph, fixed: set[fx.Node]) -> None:
    """Reshape where a view was taken, as what it views may come out laid out in another way."""
    for node in graph.nodes:
        if node.target in VIEWS and node not in fixed:
            node.target = aten.reshape.default


def turn_products(graph: fx.Graph, constants: Constants, fixed: set[fx.Node]) -> None:
    """t(a b) = t(b) t(a)."""
    for node in list(graph.nodes):
        product: Any = node.args[0] if is_turn(node) and node not in fixed else None
        if product is None or product.target not in TURNS or not alone(product, fixed):
            continue
        if is_turn(node, product.target):
            with graph.inserting_before(node):
                factors = [turned(graph, x, product.target, constants) for x in product.args[::-1]]
                found = graph.call_function(product.target, tuple(factors))
            put_in_place(node, found)


def put_in_place(node: fx.Node, other: fx.Node) -> None:
    """Have `other`, a new node, stand for what `node` stood for."""
    other.meta[KEY] = node.meta[KEY]
    node.replace_all_uses_with(other)
    node.graph.erase_node(node)


def is_turn(node: fx.Node, kind: Any = None) -> bool:
    """Whether it exchanges the dimensions of matrices, such as the operands of `kind`."""
    if kind is None:
        return any(is_turn(node, kind) for kind in TURNS)
    turn, dims = TURNS[kind]
    seen = seen_of(node)
    if node.target is not turn or seen is None:
        return False
    rank = len(seen.shape)
    places: list[Any] = list(node.args[1:])
    return rank == (3 if dims else 2) and sorted(i % rank for i in places) == list(dims)


def turned(graph: fx.Graph, node: Any, kind: Any, constants: Constants) -> fx.Node:
    """The node of an operand of `kind` the other way round."""
    turn, dims = TURNS[kind]
    if is_turn(node, kind):
        return node.args[0]  # type: ignore[no-any-return]
    if node.op == "get_attr":
        return constant(graph, turn(constants[node.target], *dims), constants)
    found = graph.call_function(turn, (node, *dims))
    found.meta[KEY] = node.meta[KEY].turned()
    return found


def merge(graph: fx.Graph, constants: Constants, fixed: set[fx.Node]) -> None:
    """Do the same operation on the same operands once."""
    known: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op not in ("call_function", "get_attr") or node in fixed or draws(node):
            continue
        same = known.setdefault(identity(node, constants), node)
        if same is not node:
            node.replace_all_uses_with(same)
            graph.erase_node(node)


def draws(node: fx.Node) -> bool:
    """Whether it draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def identity(node: fx.Node, constants: Constants) -> Any:
    """What nodes have in common that stand for the same result."""
    if node.op == "get_attr":
        return id(constants[str(node.target)])
    return node.target, repr(node.args), repr(node.kwargs)


def sweep(graph: fx.Graph) -> None:
    """Leave out what nothing needs."""
    for node in reversed(list(graph.nodes)):
        if node.op in ("call_function", "get_attr") and not node.users and not writes(node):
            graph.erase_node(node)


def accumulate(graph: fx.Graph, fixed: set[fx.Node]) -> None:
    """x + a b by the product that adds."""
    for node in list(graph.nodes):
        if node.target is not aten.add.Tensor or node.kwargs or node in fixed:
            continue
        one, other = node.args
        for product, rest in ((other, one), (one, other)):
            if product is not rest and adds(product, rest, node, fixed):
                with graph.inserting_before(node):
                    found = graph.call_function(ADDING[product.target], (rest, *product.args))
                put_in_place(node, found)
                graph.erase_node(product)
                break


def adds(product: Any, rest: Any, node: fx.Node, fixed: set[fx.Node]) -> bool:
    """Whether `node` can be had as a product that adds to `rest`."""
    seen = node.meta[KEY]
    matrices = isinstance(product, fx.Node) and product.target in ADDING and alone(product, fixed)
    return matrices and seen.like(seen_of(product)) and seen.like(seen_of(rest))


def alone(node: fx.Node, fixed: set[fx.Node]) -> bool:
    """Whether it may be done later, where its only user is."""
    return len(node.users) == 1 and node not in fixed


def write_over(graph: fx.Graph, fixed: set[fx.Node]) -> None:
    """Write results over operands that nothing else needs."""
    for node in graph.nodes:
        if node.target not in OVER or node in fixed:
            continue
        given = list(node.args)
        if swappable(node) and not spare(given[0], node):
            given.reverse()
        if spare(given[0], node) and given[0] not in given[1:]:
            out = {"out": given[0]} if node.target in ADDING.values() else {}
            node.target, node.args = OVER[node.target], tuple(given)
            node.kwargs = {**node.kwargs, **out}


def swappable(node: fx.Node) -> bool:
    """Whether the order of its two operands does not matter."""
    return node.target in SYMMETRIC and not node.kwargs


def spare(operand: Any, node: fx.Node) -> bool:
    """Whether `node` may be written over `operand`: memory of its own, which nothing else needs."""
    if not node.meta[KEY].like(seen_of(operand)):
        return False
    while len(operand.users) == 1 and operand.target in VIEWS:
        operand = operand.args[0]
    return len(operand.users) == 1 and has_own_memory(operand)


def has_own_memory(node: fx.Node) -> bool:
    """Whether its result lies where nothing else does.

    What was recorded is not enough: a view of a node that was rewritten was recorded elsewhere.
    """
    maker: Any = node.args[0] if node.target is operator.getitem else node
    inputs = {memory_of(x) for x in maker.all_input_nodes}
    return makes_memory(maker) and memory_of(node) not in {None, *inputs}


def makes_memory(node: fx.Node) -> bool:
    """Whether it gives no view of what it is given; what is written over was seen to be spare."""
    schema = getattr(node.target, "_schema", None)
    views = schema is None or any(one.alias_info is not None for one in schema.returns)
    return node.op == "call_function" and (not views or node.target in OVER.values())
