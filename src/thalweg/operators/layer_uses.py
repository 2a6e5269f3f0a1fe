r"""Where a program uses its parameters: every linear layer, convolution, embedding, normalization.

A layer's use of its parameters is linear in them,

    y = W a + b        with a the layer's input, a patch of it, or a unit vector (an embedding)
    y = w * a + b      with a the normalized input

so that with g, the derivative in y, the derivative of one sample is  sum_t g_t a_t'  over the
positions t that the layer is applied at (time steps, pixels). Uses are seen at the level of
`torch.nn.functional`, not of modules: the parameter is recognized as the tensor that it is. So a
functional call counts like a module's, a layer that is called twice has two uses, a tied one has
uses in both places, and the projections inside multi-head attention are linear layers like others.
Nothing is hooked and no module is touched.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import FunctionType
from typing import Any, Literal, final

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

UseKind = Literal["linear", "convolution", "embedding", "scale"]


@final
@dataclass(frozen=True)
class Use:
    """One use of a weight, a bias, or both.

    Attributes:
        kind: how y depends on them.
        weight, bias: their names among the parameters; None where there is none, or it is held
            constant.
        edge: the place of y in the graph, to differentiate at.
        lead: the shape of the positions, which the samples are one axis of.
        groups: parts that the layer's inputs and outputs fall into (1 but for convolutions).
        entries: makes a: shape (*lead, groups, q); (*lead, q) of a "scale"; for an "embedding"
            the indices, shape `lead`.
        turned: makes (*lead, groups, p) from the derivative in y ((*lead, q) of a "scale",
            (*lead, d) of an "embedding").
        couples: whether y's samples depend on each other (batch statistics).
    """

    kind: UseKind
    weight: str | None
    bias: str | None
    edge: GradientEdge
    lead: tuple[int, ...]
    groups: int
    entries: Callable[[], Tensor]
    turned: Callable[[Tensor], Tensor]
    couples: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters used."""
        return tuple(name for name in (self.weight, self.bias) if name is not None)


Reader = Callable[..., Use | None]


@final
class UseRecorder(TorchFunctionMode):
    """Collects the uses of `params` in what runs inside the context.

    Args:
        params: names to the tensors that the program computes with.

    Attributes:
        uses: in the order in which they happened.
        coupled: whether a layer took statistics over samples.
    """

    def __init__(self, params: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._names = {id(tensor): name for name, tensor in params.items()}
        self.uses: list[Use] = []
        self.coupled = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run `func`, and note it down if it is a layer."""
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            with self:
                return opened(func)(*args, **kwargs)
        result = func(*args, **kwargs)
        reader = READERS.get(func)
        if reader is not None and result.requires_grad:
            use = reader(self._name, result, *args, **kwargs)
            if use is not None:
                self._note(use)
        return result

    def _note(self, use: Use) -> None:
        self.coupled |= use.couples
        if use.names:
            self.uses.append(use)

    def _name(self, tensor: Tensor | None) -> str | None:
        return self._names.get(id(tensor))


@cache
def opened(func: Any) -> Any:
    """A function of `torch.nn.functional` that hands its inner calls, not itself, to the mode."""
    plain = inspect.unwrap(func)
    inside = {**plain.__globals__, "has_torch_function": lambda _: False}
    copy = FunctionType(plain.__code__, inside, plain.__name__, plain.__defaults__)
    copy.__kwdefaults__ = plain.__kwdefaults__
    return copy


Name = Callable[[Tensor | None], str | None]


def linear_use(
    name: Name, y: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Use:
    """y = W x + b along the last axis."""
    a = input.detach()
    return Use(
        "linear",
        name(weight),
        name(bias),
        get_gradient_edge(y),
        tuple(a.shape[:-1]),
        1,
        lambda: a.unsqueeze(-2),
        lambda g: g.unsqueeze(-2),
    )


def convolution_use(
    name: Name,
    y: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Use | None:
    """y = W (patch of x) + b at every place of the output."""
    places = weight.dim() - 2
    if input.dim() != weight.dim():
        return None  # one sample without an axis of samples
    a, kernel = input.detach(), tuple(weight.shape[2:])
    steps, gaps = broadcast(stride, places), broadcast(dilation, places)
    margins = margins_of(padding, kernel, gaps)
    count, sites = len(y), y[0, 0].numel()
    return Use(
        "convolution",
        name(weight),
        name(bias),
        get_gradient_edge(y),
        (count, sites),
        groups,
        lambda: patches(a, kernel, steps, margins, gaps, groups),
        lambda g: g.reshape(count, groups, -1, sites).permute(0, 3, 1, 2),
    )


def patches(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    margins: list[int],
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """What the kernel sees at each place: (N, C, ...) -> (N, places, groups, C/groups * kernel)."""
    x = F.pad(x, margins)
    sizes = zip(kernel, stride, dilation, strict=True)
    for axis, (width, step, gap) in enumerate(sizes, start=2):
        x = x.unfold(axis, (width - 1) * gap + 1, step)[..., ::gap]
    # (N, C, places..., kernel...)
    count, channels = x.shape[:2]
    sites = x.shape[2 : 2 + len(kernel)].numel()
    x = x.reshape(count, groups, channels // groups, sites, -1).permute(0, 3, 1, 2, 4)
    return x.reshape(count, sites, groups, -1)


def broadcast(value: Any, places: int) -> tuple[int, ...]:
    """A setting of a convolution for each of its axes."""
    several = (value,) if isinstance(value, int) else tuple(value)
    return several if len(several) == places else several * places


def margins_of(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> list[int]:
    """What `F.pad` adds: before and after, from the last axis to the first of the kernel's."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        spans = [(width - 1) * gap for width, gap in zip(kernel, dilation, strict=True)]
        pairs = [(span // 2, span - span // 2) for span in spans]
    else:
        pairs = [(margin, margin) for margin in broadcast(padding, len(kernel))]
    return [margin for pair in reversed(pairs) for margin in pair]


def embedding_use(
    name: Name,
    y: Tensor,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    *_: Any,
    **__: Any,
) -> Use:
    """y = the row of W that an index names: W' times a unit vector."""
    indices = input.detach()
    if padding_idx is not None and padding_idx < 0:
        padding_idx += len(weight)

    def turned(g: Tensor) -> Tensor:
        if padding_idx is None:
            return g
        return g.masked_fill((indices == padding_idx).unsqueeze(-1), 0)

    return Use(
        "embedding",
        name(weight),
        None,
        get_gradient_edge(y),
        tuple(indices.shape),
        1,
        lambda: indices,
        turned,
    )


def scale_use(
    name: Name, y: Tensor, weight: Tensor | None, bias: Tensor | None, plain: Tensor, lead: int
) -> Use:
    """y = w * (plain) + b; the axes after `lead` are the features."""
    shape = tuple(plain.shape[:lead])
    flat = (*shape, -1)
    return Use(
        "scale",
        name(weight),
        name(bias),
        get_gradient_edge(y),
        shape,
        1,
        lambda: plain.reshape(flat),
        lambda g: g.reshape(flat),
    )


def scale_of_channels(
    name: Name, y: Tensor, weight: Tensor | None, bias: Tensor | None, plain: Tensor
) -> Use:
    """y = w * (plain) + b with the channels along axis 1: (N, C, ...) -> (N, places, C)."""
    count, channels = plain.shape[:2]

    def turned(values: Tensor) -> Tensor:
        return values.reshape(count, channels, -1).mT

    return Use(
        "scale",
        name(weight),
        name(bias),
        get_gradient_edge(y),
        (count, plain[0, 0].numel()),
        1,
        lambda: turned(plain),
        turned,
    )


def layer_norm_use(
    name: Name,
    y: Tensor,
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Use:
    """Layer normalization, scaled feature by feature."""
    plain = F.layer_norm(input.detach(), normalized_shape, eps=eps)
    return scale_use(name, y, weight, bias, plain, input.dim() - len(normalized_shape))


def rms_norm_use(
    name: Name,
    y: Tensor,
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Use:
    """Root mean square normalization, scaled feature by feature."""
    plain = F.rms_norm(input.detach(), normalized_shape, eps=eps)
    return scale_use(name, y, weight, None, plain, input.dim() - len(normalized_shape))


def group_norm_use(
    name: Name,
    y: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Use:
    """Group normalization, scaled channel by channel."""
    plain = F.group_norm(input.detach(), num_groups, eps=eps)
    return scale_of_channels(name, y, weight, bias, plain)


def batch_norm_use(
    name: Name,
    y: Tensor,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Use:
    """Batch normalization, scaled channel by channel."""
    statistics = (None, None) if training else (running_mean, running_var)
    plain = F.batch_norm(input.detach(), *statistics, training=training, eps=eps)
    return replace(scale_of_channels(name, y, weight, bias, plain), couples=training)


def instance_norm_use(
    name: Name,
    y: Tensor,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Use:
    """Instance normalization, scaled channel by channel."""
    statistics = (None, None) if use_input_stats else (running_mean, running_var)
    plain = F.instance_norm(input.detach(), *statistics, use_input_stats=use_input_stats, eps=eps)
    return scale_of_channels(name, y, weight, bias, plain)


READERS: dict[Any, Reader] = {
    F.linear: linear_use,
    torch.conv1d: convolution_use,
    torch.conv2d: convolution_use,
    torch.conv3d: convolution_use,
    F.embedding: embedding_use,
    F.layer_norm: layer_norm_use,
    F.rms_norm: rms_norm_use,
    F.group_norm: group_norm_use,
    F.batch_norm: batch_norm_use,
    F.instance_norm: instance_norm_use,
}
