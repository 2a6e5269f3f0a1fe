"""The last calls by which a value was made: with gradients from the graph, without as they come.

A loss that a script writes down by hand is known again where it is evaluated by the calls that it
ends in: the negative mean of a log-likelihood is a loss whatever it consists of.
"""

from __future__ import annotations

import re

import torch

Trail = tuple[str, ...]
LAST = 3
OTHER_NAMES = {"truediv": "div", "truedivide": "div", "divide": "div", "multiply": "mul",
               "subtract": "sub", "negative": "neg"}  # fmt: skip
# What moves values about or hands them out, and computes none.
MOVING = frozenset(
    "item format array numpy tolist detach cpu cuda to tocopy clone view reshape unsafeview "  # noqa: SIM905
    "contiguous alias float double asstrided".split()
)
NODE = re.compile(r"(\w+?)Backward\d*")


def of_graph(tensor: torch.Tensor) -> Trail:
    """The calls that a value with a graph ends in, nearest last, along the first differentiable."""
    node, names = tensor.grad_fn, list[str]()
    while node is not None and len(names) < LAST:
        found = NODE.fullmatch(node.name())
        if found is None:  # a parameter, or a function of the script's own
            break
        names[:0] = [word] if (word := plain(found[1])) not in MOVING else []
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
    return tuple(names)


def behind(trail: Trail, name: str) -> Trail:
    """The trail of what a call makes of a value with this one."""
    word = plain(name)
    return trail if word in MOVING else (*trail, word)[-LAST:]


def plain(name: str) -> str:
    """A call's name without underscores and capitals, one of its several."""
    word = name.replace("_", "").lower()
    return OTHER_NAMES.get(word, word)
