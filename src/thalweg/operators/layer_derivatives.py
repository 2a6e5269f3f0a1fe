r"""Derivatives of single samples in a layer's parameters.

    linear, convolution     sum_t g_t a_t'
    embedding               sum_t e_{i_t} g_t'        i_t the index at position t
    normalization           sum_t g_t * a_t
    bias                    sum_t g_t

a the layer's inputs and g the derivatives in its outputs, at positions t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.operators.layer_uses import Use, UseKind


def layer_derivatives(
    use: Use, a: Tensor, g: Tensor, shapes: Mapping[str, Any]
) -> dict[str, Tensor]:
    """What a use contributes to each parameter's derivative, sample by sample.

    Args:
        use: the use.
        a: (N, T, groups, q); (N, T, q) of a scale; (N, T) of an embedding.
        g: (N, T, groups, p); (N, T, q) of a scale; (N, T, d) of an embedding.
        shapes: the parameters'.

    Returns:
        Tensors (N, *shape).
    """
    found = {}
    if a.is_floating_point():  # under autocast a layer's output is narrower than its input
        wide = torch.promote_types(a.dtype, g.dtype)
        a, g = a.to(wide), g.to(wide)
    if use.weight is not None:
        of_weight = WEIGHT_DERIVATIVES[use.kind](a, g, shapes[use.weight])
        found[use.weight] = of_weight.reshape(len(g), *shapes[use.weight])
    if use.bias is not None:
        found[use.bias] = g.sum(1).reshape(len(g), *shapes[use.bias])
    return found


def outer_products(a: Tensor, g: Tensor, shape: Any) -> Tensor:
    """sum_t g_t a_t', (N, groups, p, q)."""
    return torch.einsum("ntgp,ntgq->ngpq", g, a)


def gathered(a: Tensor, g: Tensor, shape: Any) -> Tensor:
    """sum_t e_{i_t} g_t', (N, V, d)."""
    rows = g.new_zeros(len(g), *shape)
    return rows.scatter_add(1, a.unsqueeze(-1).expand_as(g), g)


def scaled(a: Tensor, g: Tensor, shape: Any) -> Tensor:
    """sum_t g_t * a_t, (N, q)."""
    return (g * a).sum(1)


WEIGHT_DERIVATIVES: dict[UseKind, Callable[[Tensor, Tensor, Any], Tensor]] = {
    "linear": outer_products,
    "convolution": outer_products,
    "embedding": gathered,
    "scale": scaled,
}
