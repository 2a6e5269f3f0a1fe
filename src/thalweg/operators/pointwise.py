r"""Operations of a linear tape that act number by number, gathered into sums with coefficients.

Whatever is made of tensors x_i that the vector flows through by multiplying with constants, adding,
and derivatives of activations is, number by number,

    y = sum_i c_i * x_i

with c_i that do not depend on the vector. The c_i are computed once, by the chain rule, and y takes
one multiply-and-add for each x_i. The second derivative of a GELU is one of these, and layer
normalization's between its means are.

A result is written out where something else needs it, or where several sums do and it has several
terms itself: it is then cheaper taken once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from thalweg.operators.seen import KEY, Seen, seen_of, shape_together

aten: Any = torch.ops.aten
Coefficient = Tensor | float
Terms = dict[fx.Node, Coefficient]
Constants = dict[str, Tensor]

# Operations, and which of their arguments enter linearly and number by number.
LINEAR_IN: Mapping[Any, tuple[int, ...]] = {
    aten.add.Tensor: (0, 1),
    aten.sub.Tensor: (0, 1),
    aten.neg.default: (0,),
    aten.mul.Tensor: (0, 1),
    aten.mul.Scalar: (0,),
    aten.div.Tensor: (0,),
    aten.div.Scalar: (0,),
    aten.where.self: (1, 2),
    aten.threshold_backward.default: (0,),
    aten.leaky_relu_backward.default: (0,),
    aten.sigmoid_backward.default: (0,),
    aten.tanh_backward.default: (0,),
    aten.elu_backward.default: (0,),
    aten.gelu_backward.default: (0,),
    aten.silu_backward.default: (0,),
    aten.softplus_backward.default: (0,),
}
# Those that take longer than a multiplication: worth a coefficient even when alone.
SLOW = frozenset(
    {
        aten.elu_backward.default,
        aten.gelu_backward.default,
        aten.silu_backward.default,
        aten.softplus_backward.default,
    }
)
PRODUCTS = frozenset({aten.mm.default, aten.bmm.default})


def gather(graph: fx.Graph, constants: Constants, fixed: set[fx.Node]) -> None:
    """Write each sum of a graph with as few operations as it has terms.

    Args:
        graph: of a tape; what is known of its nodes' tensors is in their `meta`.
        constants: what its `get_attr` nodes stand for; coefficients are added.
        fixed: nodes that stay as they are.
    """
    sums: dict[fx.Node, Terms] = {}
    for node in list(graph.nodes):
        terms = None if node in fixed else terms_of(node, sums, constants)
        if terms is None:
            continue
        if absorbed(node, terms, fixed):
            sums[node] = terms
        elif node.target in SLOW or list(terms) != [x for x in node.args if flows(x)]:
            write_out(graph, node, terms, constants)


def absorbed(node: fx.Node, terms: Terms, fixed: set[fx.Node]) -> bool:
    """Whether the sums that use `node` take its terms instead of itself."""
    only_sums = all(user.target in LINEAR_IN and user not in fixed for user in node.users)
    return only_sums and (len(node.users) == 1 or len(terms) == 1)


def terms_of(node: fx.Node, sums: Mapping[fx.Node, Terms], constants: Constants) -> Terms | None:
    """The sum that `node` is, or None where it is none."""
    if node.target not in LINEAR_IN:
        return None
    terms: Terms = {}
    for place, argument in enumerate(node.args):
        if not flows(argument):
            continue
        outer = coefficient(node, place, constants)
        if outer is None:
            return None
        for source, inner in sums.get(argument, {argument: 1.0}).items():  # type: ignore[arg-type, dict-item]
            terms[source] = plus(terms.get(source), times(outer, inner))
    return terms if alike(node, terms) else None


def coefficient(node: fx.Node, place: int, constants: Constants) -> Coefficient | None:
    """By what `node` multiplies its argument at `place`; None where that is no constant."""
    if place not in LINEAR_IN[node.target]:
        return None
    match node.target:
        case aten.add.Tensor | aten.sub.Tensor:
            return in_a_sum(node, place, constants)
        case aten.neg.default:
            return -1.0
        case aten.mul.Tensor | aten.mul.Scalar:
            other = node.args[1 - place]
            return None if flows(other) else number(value(other, constants))
        case aten.div.Scalar:
            divisor = number(node.args[1])
            return 1 / divisor if divisor else None
        case _:
            return by_trial(node, place, constants)


def in_a_sum(node: fx.Node, place: int, constants: Constants) -> float | None:
    """The sign and factor of a summand; None where the other is a constant that is not zero."""
    other = node.args[1 - place]
    if not flows(other) and bool(torch.as_tensor(value(other, constants)).any()):
        return None
    sign = -1.0 if node.target is aten.sub.Tensor else 1.0
    alpha: Any = node.kwargs.get("alpha", 1)
    return sign * float(alpha) if place == 1 else 1.0


def by_trial(node: fx.Node, place: int, constants: Constants) -> Tensor | None:
    """What `node` makes of ones at `place` and zeros elsewhere, if it makes zeros of zeros."""

    def answer(one: float) -> Tensor:
        given = [
            x.meta[KEY].filled(one if i == place else 0.0)  # type: ignore[union-attr]
            if flows(x)
            else value(x, constants)
            for i, x in enumerate(node.args)
        ]
        return node.target(*given, **node.kwargs)  # type: ignore[operator, no-any-return]

    return None if bool(answer(0.0).any()) else answer(1.0)


def alike(node: fx.Node, terms: Terms) -> bool:
    """Whether the terms are finite, of the node's precision and device, and make up its shape."""
    seen: Seen = node.meta[KEY]
    factors = [by for by in terms.values() if isinstance(by, Tensor)]
    parts = [*map(seen_of, terms), *map(Seen.of, factors)]
    return (
        seen.dtype.is_floating_point
        and all(x is not None and seen.fresh(x.shape).like(x) for x in parts)
        and shape_together([x.shape for x in parts if x is not None]) == seen.shape
        and all(map(finite, terms.values()))
    )


def write_out(graph: fx.Graph, node: fx.Node, terms: Terms, constants: Constants) -> None:
    """Put the sum in `node`'s place, cheap beginnings first."""
    total: Any = None
    with graph.inserting_before(node):
        for source, by in sorted(terms.items(), key=lambda term: rank(*term)):
            total = plus_term(graph, total, source, by, constants)
    node.replace_all_uses_with(total)


def plus_term(
    graph: fx.Graph,
    total: fx.Node | None,
    source: fx.Node,
    by: Coefficient,
    constants: Constants,
) -> fx.Node:
    """The node of total + by * source."""
    if total is None and not isinstance(by, Tensor) and by == 1:
        return source
    operands = [source] if total is None else [total, source]
    if isinstance(by, Tensor):
        operands.append(constant(graph, by, constants))
        found = graph.call_function(
            aten.mul.Tensor if total is None else aten.addcmul.default, tuple(operands)
        )
    elif total is None:
        found = graph.call_function(aten.mul.Scalar, (source, by))
    else:
        found = graph.call_function(
            aten.add.Tensor, (total, source), {"alpha": by} if by != 1 else {}
        )
    shape = shape_together([x.meta[KEY].shape for x in operands])
    found.meta[KEY] = source.meta[KEY].fresh(shape)
    return found


def constant(graph: fx.Graph, one: Tensor, constants: Constants) -> fx.Node:
    """A node that stands for `one`."""
    name = next((name for name, known in constants.items() if known is one), None)
    if name is None:
        name = f"coefficient{len(constants)}"
        constants[name] = one
    node = graph.get_attr(name)
    node.meta[KEY] = Seen.of(one)
    return node


def rank(source: fx.Node, by: Coefficient) -> int:
    """Where in a sum a term goes: what costs nothing to begin with first, matrix products ahead."""
    if isinstance(by, Tensor):
        return 3
    return 2 if by != 1 else int(source.target not in (aten.mm.default, aten.bmm.default))


def flows(argument: object) -> bool:
    """Whether an argument depends on the tape's inputs."""
    return isinstance(argument, fx.Node) and argument.op != "get_attr"


def value(argument: Any, constants: Mapping[str, Tensor]) -> Any:
    """What an argument that does not depend on the inputs stands for."""
    return constants[str(argument.target)] if isinstance(argument, fx.Node) else argument


def finite(factor: Coefficient) -> bool:
    """Whether there is no overflow in a coefficient."""
    return bool(torch.as_tensor(factor).isfinite().all())


def number(factor: Any) -> Coefficient:
    """A factor as it stands in sums."""
    return factor if isinstance(factor, Tensor) else float(factor)


def times(outer: Coefficient, inner: Coefficient) -> Coefficient:
    """The product; what is multiplied by 1 stays itself."""
    if isinstance(outer, float) and outer == 1:
        return inner
    return outer if isinstance(inner, float) and inner == 1 else outer * inner


def plus(one: Coefficient | None, other: Coefficient) -> Coefficient:
    """The sum, where there is something to add to."""
    return other if one is None else one + other
