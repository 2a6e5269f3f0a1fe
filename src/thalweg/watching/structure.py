"""Which call of which module made each node of the autograd graph, learned from a step in full.

Between steps in full nothing sees the calls; what is left of a forward pass is its graph. A program
that computes alike from step to step makes the same nodes in the same order, so that a node tells
by its place which call has made it, and in which module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from thalweg.recorder.leaves import needs_gradient
from thalweg.recorder.session import Call

Node = Any  # PyTorch has no type for the nodes of its graph


@dataclass(frozen=True)
class Made:
    """One call of the forward pass.

    Attributes:
        name: The function's name.
        module: The innermost module that it was made in, if any.
        last: The sequence number of its result's node.
    """

    name: str
    module: nn.Module | None
    last: int


def nodes_of(loss: torch.Tensor) -> list[Node]:
    """The nodes of a loss's graph in the order in which the forward pass made them."""
    found, waiting = set[Node](), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting.extend(parent for parent, _ in node.next_functions)
    inner = [node for node in found if not hasattr(node, "variable")]
    return sorted(inner, key=lambda node: int(node._sequence_nr()))


def leaves_at(node: Node) -> list[torch.Tensor]:
    """The leaves that the node's call was given."""
    parents = [parent for parent, _ in node.next_functions if parent is not None]
    return [parent.variable for parent in parents if hasattr(parent, "variable")]


@dataclass
class Structure:
    """The forward pass of the latest step in full.

    Attributes:
        kinds: The names of its nodes in order.
        made: For each node the call that made it.
        leaves: For each node the leaves that its call was given.
    """

    kinds: list[str] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    leaves: list[list[torch.Tensor]] = field(default_factory=list)

    @classmethod
    def of(cls, loss: torch.Tensor, calls: list[Made]) -> Structure:
        """The structure of this loss's graph, given the calls in order."""
        found, waiting = cls(), iter(calls)
        current = next(waiting, None)
        for node in nodes_of(loss):
            while current is not None and current.last < node._sequence_nr():
                current = next(waiting, None)
            if current is None:
                break
            found.kinds.append(node.name())
            found.made.append(current)
            found.leaves.append(leaves_at(node))
        return found

    def maker(self, nodes: list[Node], node: Node) -> Made | None:
        """The call that made a node of another step's graph; None if that is built otherwise."""
        if [one.name() for one in nodes] != self.kinds:
            return None
        return self.made[nodes.index(node)]


class Following:
    """Follows the calls of a step in full, and the modules that they are made in."""

    def __init__(self) -> None:
        self._stack: list[nn.Module] = []
        self._undo: list[Callable[[], None]] = []
        self.calls: list[Made] = []

    def begin(self) -> None:
        """Follow from here on."""
        self.end()
        self._undo = [
            hooks.register_module_forward_pre_hook(self._entered).remove,
            hooks.register_module_forward_hook(self._left, always_call=True).remove,
        ]

    def end(self) -> None:
        """Follow no more, and forget the calls."""
        for undo in self._undo:
            undo()
        self._undo, self._stack, self.calls = [], [], []

    def _entered(self, module: nn.Module, _: Any) -> None:
        self._stack.append(module)

    def _left(self, module: nn.Module, _: Any, __: Any) -> None:
        if module in self._stack:  # a pass that began before we followed
            while self._stack.pop() is not module:
                pass

    def called(self, call: Call, result: Any) -> None:
        """Note a call that adds to the graph."""
        if not torch.is_grad_enabled():
            return
        for one in _tensors(result):
            if needs_gradient(one) and one.grad_fn is not None:
                inside = self._stack[-1] if self._stack else None
                self.calls.append(Made(call.name, inside, int(one.grad_fn._sequence_nr())))
                return


def _tensors(result: Any) -> Iterator[torch.Tensor]:
    parts = result if isinstance(result, tuple | list) else (result,)
    return (one for one in parts if isinstance(one, torch.Tensor))
