"""Convolutions whose backward pass u -> J'u is kept as a linear function of u alone.

A product J v with a network's Jacobian is the derivative of the backward pass in u
(`operators.linearization`). For a convolution y = w * x that takes two convolutions, w * dx and
dw * x. PyTorch's second derivative of a convolution (as of 2.13) computes besides, asked for or
not, the derivatives in x and in w, and so costs twice as much.

The second derivatives in x and w are left out here, so these convolutions are no part of a Hessian.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

Gradient = Tensor | None
aten = torch.ops.aten


class Settings(NamedTuple):
    """How a convolution strides over its input, in the order of `aten.convolution`."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    transposed: bool
    output_padding: list[int]
    groups: int


@final
class Convolution(Function):
    """y = w * x + b."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, w: Tensor, b: Tensor | None, settings: Settings) -> Tensor:
        """y."""
        return cast(Tensor, aten.convolution(x, w, b, *settings))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass multiplies with."""
        x, w, b, settings = inputs
        ctx.save_for_backward(x, w)
        ctx.settings, ctx.bias = settings, None if b is None else list(b.shape)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Gradient, ...]:
        """The gradients of x, w and b."""
        x, w = (saved.detach() for saved in ctx.saved_tensors)
        needed = list(ctx.needs_input_grad[:3])
        return (*Gradients.apply(g, x, w, ctx.bias, ctx.settings, needed), None)  # type: ignore[no-untyped-call]


@final
class Gradients(Function):
    """(g_x, g_w, g_b) of `Convolution` from the gradient g of its output: linear in g."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        g: Tensor, x: Tensor, w: Tensor, bias: list[int] | None, settings: Settings, needed: Any
    ) -> tuple[Tensor, ...]:
        """What is needed of the three."""
        found = aten.convolution_backward(g, x, w, bias, *settings, needed)
        return tuple(found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep what the derivative multiplies with."""
        g, x, w, _, settings, _ = inputs
        ctx.save_for_backward(x, w)
        ctx.set_materialize_grads(False)
        ctx.settings, ctx.shape = settings, g.shape

    @staticmethod
    def backward(ctx: Any, dx: Gradient, dw: Gradient, db: Gradient) -> tuple[Gradient, ...]:
        """The derivative in g alone: w * dx + dw * x + db."""
        x, w = ctx.saved_tensors
        terms = [
            None if dx is None else aten.convolution(dx, w, None, *ctx.settings),
            None if dw is None else aten.convolution(x, dw, None, *ctx.settings),
            None if db is None else db.reshape(-1, *[1] * (w.dim() - 2)).expand(ctx.shape),
        ]
        present = [term for term in terms if term is not None]
        return (sum(present[1:], present[0]) if present else None, *[None] * 5)


def plain(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """`torch.conv1d`, `conv2d` and `conv3d` by `Convolution`, where that applies."""
    return convolved(x, w, b, (stride, padding, dilation, False, 0, groups))


def transposed(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor | None:
    """`torch.conv_transpose1d` and its kin by `Convolution`, where that applies."""
    return convolved(x, w, b, (stride, padding, dilation, True, output_padding, groups))


def convolved(x: Tensor, w: Tensor, b: Tensor | None, given: tuple[Any, ...]) -> Tensor | None:
    """The convolution, or None where PyTorch shall prepare its arguments itself."""
    spatial = w.dim() - 2
    if x.dim() != w.dim() or isinstance(given[1], str) or torch.is_autocast_enabled(x.device.type):
        return None
    stride, padding, dilation, is_transposed, output_padding, groups = given
    settings = Settings(
        each(stride, spatial),
        each(padding, spatial),
        each(dilation, spatial),
        is_transposed,
        each(output_padding, spatial),
        groups,
    )
    return cast(Tensor, Convolution.apply(x, w, b, settings))  # type: ignore[no-untyped-call]


def each(value: Any, count: int) -> list[int]:
    """A number for each spatial dimension."""
    numbers = [value] if isinstance(value, int) else list(value)
    return numbers * count if len(numbers) == 1 else numbers


REPLACED: dict[Any, Callable[..., Tensor | None]] = {
    torch.conv1d: plain,
    torch.conv2d: plain,
    torch.conv3d: plain,
    torch.conv_transpose1d: transposed,
    torch.conv_transpose2d: transposed,
    torch.conv_transpose3d: transposed,
}


@final
class LinearConvolutions(TorchFunctionMode):
    """While it is on, convolutions are `Convolution`s; every number stays the same."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The convolution by our function where it applies, everything else by PyTorch's."""
        named = {NAMES.get(name, name): value for name, value in (kwargs or {}).items()}
        ours = REPLACED[func](*args, **named) if func in REPLACED else None
        return func(*args, **(kwargs or {})) if ours is None else ours


NAMES = {"input": "x", "weight": "w", "bias": "b"}
