r"""Whether an operator can be believed: its loss repeats itself, and its products are symmetric.

    u'(A v) = v'(A u)        for two random vectors u, v

A loss that draws random numbers of its own, or a layer whose second derivative is wrong, breaks one
of the two, and nothing else would show it: every product looks like a product. Losses may differ by
the order of their sums, products by the square root of the rounding; anything beyond is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._pytree import tree_leaves

from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.layout import Layout
from thalweg.operators.operator import ParameterOperator

SUMMING = 1e3  # units of rounding by which sums in another order may differ
GRADIENT = 1e2  # units of the gradient's rounding below which products are noise


def check_repeats(
    operator: ParameterOperator, loss: Callable[[], Tensor], model: nn.Module
) -> None:
    """Evaluate the loss once more, and compare it with the operator's.

    Raises:
        ValueError: they differ by more than rounding; the message names the first module whose
            output does.
    """
    with twice_differentiable():
        again = float(loss().detach())
    allowed = SUMMING * rounding(operator.layout) * max(abs(again), abs(operator.loss))
    if not abs(again - operator.loss) <= allowed:
        raise ValueError(
            f"{operator.name}: two evaluations of the loss at the same parameters gave "
            f"{operator.loss:.9g} and {again:.9g}. {culprit(loss, model)} PyTorch's, NumPy's and "
            "Python's global generators and those that modules keep as attributes were put back "
            "in between; draw from one of these, or pass check=False."
        )


def check_symmetric(operator: ParameterOperator) -> None:
    """Compare u'(A v) with v'(A u) for two random vectors; costs two products.

    Raises:
        ValueError: they differ by more than rounding.
    """
    generator = torch.Generator().manual_seed(0)
    pair = torch.randn(operator.size, 2, generator=generator, dtype=torch.float64)
    u, v = pair.to(operator.device, operator.dtype).unbind(1)
    au, av = operator @ u, operator @ v
    difference = abs(float(u @ av) - float(v @ au))
    unit = rounding(operator.layout)
    noise = GRADIENT * unit * float(operator.gradient.norm())
    if not difference <= unit**0.5 * float(au.norm() + av.norm()) + noise:
        raise ValueError(
            f"{operator.name}: u'(Av) and v'(Au) are {float(u @ av):.9g} and {float(v @ au):.9g} "
            "for random u, v; the matrix is not symmetric. An operation in the loss has a wrong "
            "second derivative (a custom autograd.Function?), or makes other random draws when "
            "differentiated. check=False takes it as it is."
        )


def rounding(layout: Layout) -> float:
    """The rounding unit of the least precise parameter."""
    return max(torch.finfo(dtype).eps for dtype in layout.dtypes)


def culprit(loss: Callable[[], Tensor], model: nn.Module) -> str:
    """A sentence that names the first module whose output differs between two evaluations."""
    first, second = Outputs.of(loss), Outputs.of(loss)
    names = {id(module): name for name, module in model.named_modules()}
    for (module, before), (_, after) in zip(first.seen, second.seen, strict=False):
        if not alike(before, after):
            name = names.get(id(module), "")
            return f"The first output to differ is that of {name!r} ({type(module).__name__})."
    return "No module's output differs: it is the loss function that draws or counts."


@final
class Outputs:
    """The modules called in one evaluation of a loss, each with a copy of its output."""

    def __init__(self) -> None:
        self.seen: list[tuple[nn.Module, list[Tensor]]] = []

    @classmethod
    def of(cls, loss: Callable[[], Tensor]) -> Outputs:
        """The outputs of one evaluation."""
        outputs = cls()
        handle = register_module_forward_hook(outputs)
        try:
            with twice_differentiable():
                loss()
        finally:
            handle.remove()
        return outputs

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """The hook."""
        leaves = [x.detach().clone() for x in tree_leaves(output) if isinstance(x, Tensor)]
        self.seen.append((module, leaves))


def alike(before: list[Tensor], after: list[Tensor]) -> bool:
    """Whether two outputs hold the same numbers."""
    pairs = zip(before, after, strict=False)
    return len(before) == len(after) and all(torch.equal(a, b) for a, b in pairs)
