r"""How many weights a unit is reached by and reaches: fan_in and fan_out.

    linear                   d_in,                             d_out
    convolution              c_in / groups * k,                c_out / groups * k / strides
    transposed convolution   c_in / groups * k / strides,      c_out / groups * k
    bilinear                 d_1 d_2,                          d_out
    embedding                1,                                d

where k is the number of positions in the kernel and `strides` the product of the strides. An
embedding is a linear layer that is given a single 1. These are averages over positions, padding
aside. They differ from `torch.nn.init`, which reads fans from the shape of the weight alone: it
knows neither groups nor strides, and for a transposed convolution takes one fan for the other.
"""

from __future__ import annotations

import math
from typing import Final

from torch import nn

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EMBEDDINGS: Final = (nn.Embedding, nn.EmbeddingBag)

Weighted = nn.Linear | nn.Bilinear | Convolution | Transposed | nn.Embedding | nn.EmbeddingBag


def fans(layer: Weighted) -> tuple[float, float]:
    """(fan_in, fan_out) of a layer; see the module."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, nn.Bilinear):
        return layer.in1_features * layer.in2_features, layer.out_features
    if isinstance(layer, EMBEDDINGS):
        return 1, layer.embedding_dim
    k, strides = math.prod(layer.kernel_size), math.prod(layer.stride)
    reached, reaches = layer.in_channels // layer.groups * k, layer.out_channels // layer.groups * k
    if isinstance(layer, TRANSPOSED):
        return reached / strides, reaches
    return reached, reaches / strides
