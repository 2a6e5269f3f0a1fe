"""What each kind of layer draws: its parameters, each with the tensor that it is to become.

A plan computes nothing until it is carried out, so that a model is either refused or initialized,
never half of each.

Matrices that belong to different purposes are drawn apart, each with its own fans, although torch
keeps them in one tensor: the gates of a recurrent layer, the q, k and v of attention, the groups of
a convolution. Neither of the first two has a nonlinearity of the scheme's before it, so that no
gain is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor, nn

from thalweg.training.initialization.fans import (
    CONVOLUTIONS,
    EMBEDDINGS,
    TRANSPOSED,
    Weighted,
    fans,
)
from thalweg.training.initialization.scheme import Scheme

Step = tuple[Tensor, Callable[[], Tensor]]

RECURRENT: Final = (nn.RNNBase, nn.RNNCellBase)
WEIGHTED: Final = (nn.Linear, nn.Bilinear, *CONVOLUTIONS, *TRANSPOSED, *EMBEDDINGS)
FORGET: Final = 1  # the place of the forget gate in torch's LSTM: input, forget, cell, output


def plan(module: nn.Module, scheme: Scheme, forget_bias: float) -> Iterator[Step]:
    """What a layer draws for the parameters that it holds itself; nothing for what is no layer.

    Raises:
        ValueError: The scheme is not for such layers.
    """
    if isinstance(module, WEIGHTED):
        yield from weighted(module, scheme)
    elif isinstance(module, RECURRENT):
        yield from recurrent(module, scheme, forget_bias)
    elif isinstance(module, nn.MultiheadAttention):
        yield from attention(module, scheme.linear())


def weighted(layer: Weighted, scheme: Scheme) -> Iterator[Step]:
    """A weight by its fans, and a bias of zero."""
    if isinstance(layer, EMBEDDINGS):
        yield layer.weight, lambda: embedding(layer, scheme)
        return
    if isinstance(layer, (nn.Bilinear, *TRANSPOSED)) and scheme.kind == "identity":
        raise ValueError(
            "a bilinear layer or a transposed convolution has no identity; use 'he' or 'lecun'"
        )
    yield layer.weight, lambda: kernel(layer, scheme)
    if layer.bias is not None:
        yield layer.bias, zeros(layer.bias)


def kernel(layer: Weighted, scheme: Scheme) -> Tensor:
    """The weight of a layer, group by group."""
    shape, groups = layer.weight.shape, getattr(layer, "groups", 1)
    if isinstance(layer, CONVOLUTIONS) and scheme.kind == "identity":
        return nn.init.dirac_(torch.empty(shape, dtype=torch.float64), groups)
    block = torch.Size((shape[0] // groups, *shape[1:]))
    return torch.cat([scheme.drawn(block, *fans(layer)) for _ in range(groups)])


def embedding(layer: nn.Embedding | nn.EmbeddingBag, scheme: Scheme) -> Tensor:
    """Rows of variance 1, or Glorot's; the row of the padding stays zero."""
    kind = scheme.kind if scheme.kind == "glorot" else "lecun"
    apart = Scheme(kind, 1.0, scheme.uniform, scheme.random)
    rows = apart.drawn(layer.weight.shape, *fans(layer))
    if layer.padding_idx is not None:
        rows[layer.padding_idx] = 0
    return rows


def recurrent(
    module: nn.RNNBase | nn.RNNCellBase, scheme: Scheme, forget_bias: float
) -> Iterator[Step]:
    """Gate by gate: states to states orthogonal, or the identity; the rest by the scheme.

    The identity is for plain recurrent nets of rectifiers (Q. V. Le, N. Jaitly & G. E. Hinton, *A
    simple way to initialize recurrent networks of rectified linear units*, 2015). The bias of the
    forget gate is positive, so that states last from the beginning (F. A. Gers, J. Schmidhuber & F.
    Cummins, *Learning to forget*, 2000; R. Jozefowicz, W. Zaremba & I. Sutskever, 2015).
    """
    gates = gate_count(module)
    if scheme.kind == "identity" and gates > 1:
        raise ValueError("the identity is for nn.RNN; use 'orthogonal' for layers with gates")
    apart = scheme.linear()
    states = Scheme(
        "identity" if scheme.kind == "identity" else "orthogonal", 1.0, False, scheme.random
    )
    for name, weight in module.named_parameters(recurse=False):
        if name.startswith("weight"):
            own, blocks = (states if "_hh" in name else apart), (1 if "_hr" in name else gates)
            yield weight, stacked(weight, own, blocks)
        elif name.startswith("bias_ih") and gates == 4:
            yield weight, forgetting(weight, forget_bias)
        else:
            yield weight, zeros(weight)


def gate_count(module: nn.RNNBase | nn.RNNCellBase) -> int:
    """How many matrices are stacked into one."""
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        return 4
    return 3 if isinstance(module, nn.GRU | nn.GRUCell) else 1


def attention(module: nn.MultiheadAttention, scheme: Scheme) -> Iterator[Step]:
    """The projections to queries, keys and values; the output's is a linear layer by itself."""
    if module._qkv_same_embed_dim:
        yield module.in_proj_weight, stacked(module.in_proj_weight, scheme, 3)
    else:
        for weight in (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight):
            yield weight, stacked(weight, scheme, 1)
    if module.in_proj_bias is not None:
        yield module.in_proj_bias, zeros(module.in_proj_bias)


def stacked(weight: Tensor, scheme: Scheme, blocks: int) -> Callable[[], Tensor]:
    """As many matrices, one below the other."""
    rows, columns = weight.shape[0] // blocks, weight.shape[1]
    shape = torch.Size((rows, columns))
    return lambda: torch.cat([scheme.drawn(shape, columns, rows) for _ in range(blocks)])


def zeros(weight: Tensor) -> Callable[[], Tensor]:
    """Nothing but zeros."""
    return lambda: torch.zeros(weight.shape)


def forgetting(bias: Tensor, forget_bias: float) -> Callable[[], Tensor]:
    """Zeros, but for the forget gate."""
    return lambda: torch.eye(4)[FORGET].repeat_interleave(len(bias) // 4) * forget_bias
