"""Where numbers first stopped being finite, read from what the autograd graph has kept.

Each node keeps the tensors that its derivative needs: arguments of its call, or its result. Walked
in the order of the forward pass, the first node that kept a bad result, or whose argument is bad
while everything before it is in order, tells the call that made it. Nothing is computed again: the
program's own code could count, draw or print.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import torch

from thalweg.watching.structure import Node, leaves_at, nodes_of
from thalweg.watching.tensors import is_finite

RESULTS = frozenset({"result", "result0", "output"})
# Calls whose value is infinite or undefined somewhere.
SINGULAR = frozenset(
    "Log Log2 Log10 Log1P Sqrt Rsqrt Div Reciprocal Pow Exp Expm1 Acos Asin Atanh Acosh Tan "  # noqa: SIM905
    "LinalgVectorNorm Norm Lgamma Erfinv Logit Xlogy Var Std".split()
)


@dataclass(frozen=True)
class Origin:
    """The first bad value of a forward pass.

    Attributes:
        node: Whose call made it; None if it came in as data or as a parameter.
        kind: ``operation``, ``data`` or ``parameter``.
        inputs: What the call was given, as far as the graph has kept it, by name.
        leaf: The parameter, where it is one.
    """

    node: Node | None
    kind: str
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    leaf: torch.Tensor | None = None


def operation_of(node: Node) -> str:
    """A node's name without PyTorch's ending: ``Log`` for ``LogBackward0``."""
    return str(node.name()).rpartition("::")[2].partition("Backward")[0]


def kept_by(node: Node) -> dict[str, torch.Tensor]:
    """The floating point tensors that a node has kept, by the argument's name."""
    found: dict[str, torch.Tensor] = {}
    for name in dir(node):
        if name.startswith("_saved_"):
            with contextlib.suppress(RuntimeError):  # let go by an earlier backward pass
                value = getattr(node, name)
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    found[name.removeprefix("_saved_")] = value
    return found


def origin_of(loss: torch.Tensor) -> Origin | None:
    """Where a loss that is not finite stopped being so; None if it has no graph.

    Memory: the names of the graph's nodes; one pass over what they have kept.
    """
    nodes = nodes_of(loss)
    for node in nodes:
        for leaf in leaves_at(node):
            if not is_finite(leaf):
                return Origin(None, "parameter", leaf=leaf)
    for node in nodes:
        found = _at(node, kept_by(node))
        if found is not None:
            return found
    return _behind(nodes[-1]) if nodes else None


def _at(node: Node, kept: dict[str, torch.Tensor]) -> Origin | None:
    """The origin, if this node is the first to show something bad."""
    given = {name: one for name, one in kept.items() if name not in RESULTS}
    bad = next((one for one in given.values() if not is_finite(one)), None)
    if bad is not None:
        maker = _maker(node, bad)
        return Origin(None, "data", given) if maker is None else _behind(maker)
    if any(not is_finite(one) for name, one in kept.items() if name in RESULTS):
        return Origin(node, "operation", given)
    return None


def _maker(node: Node, value: torch.Tensor) -> Node | None:
    """The node that made an argument of a call: the last one whose result has its shape."""
    inner = [p for p, _ in node.next_functions if p is not None and not hasattr(p, "variable")]
    fitting = [
        one for one in inner if any(list(m.shape) == list(value.shape) for m in one._input_metadata)
    ]
    return max(fitting, key=lambda one: int(one._sequence_nr()), default=None)


def _behind(node: Node) -> Origin:
    """The origin, where a node's result is bad and nothing before is known to be.

    Nodes that keep nothing (sums, means) seldom make anything bad: behind them the one whose call
    has a singular point is the maker, if there is one.
    """
    at: Node | None = node
    while at is not None and operation_of(at) not in SINGULAR:
        inner = [p for p, _ in at.next_functions if p is not None and not hasattr(p, "variable")]
        at = inner[0] if len(inner) == 1 and not kept_by(at) else None
    made = at or node
    given = {name: one for name, one in kept_by(made).items() if name not in RESULTS}
    return Origin(made, "operation", given)
