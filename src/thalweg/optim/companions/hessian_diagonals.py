"""Estimates of the Hessian's diagonal from one batch, for rules that divide by it.

    hutchinson     u * (H u) for random u: unbiased for the Hessian of any loss, of either sign;
                   costs about one more backward pass through a kept graph
    gauss_newton   the squared gradient for labels drawn from the model itself (Bartlett): unbiased
                   for the Gauss-Newton diagonal of a cross-entropy, never negative; costs one
                   backward pass

Reference: Hutchinson (1989); Bekas, Kokiopoulou & Saad (2007); Liu et al. (2023), arXiv 2305.14342,
algorithms 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Diagonals = list[Tensor | None]  # None: the parameter has no part in it


def hutchinson(
    loss: Tensor, params: Sequence[Tensor], generator: torch.Generator | None = None
) -> Diagonals:
    """One draw of u * (H u) with u from the standard normal distribution.

    Args:
        loss: 0-d, with its graph, which is kept.
        params: leaves of the graph.
        generator: of the random numbers; on the parameters' device.

    Returns:
        For each parameter an estimate in its shape; its mean is the Hessian's diagonal.
    """
    gradients = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
    curved = [i for i, g in enumerate(gradients) if g is not None and g.requires_grad]
    draws = {i: _normal_like(params[i], generator) for i in curved}
    if not curved:
        return [None if g is None else torch.zeros_like(g) for g in gradients]
    products = torch.autograd.grad(
        [gradients[i] for i in curved],
        params,
        [draws[i] for i in curved],
        retain_graph=True,
        allow_unused=True,
    )
    return [
        draws[i] * product if i in draws and product is not None else _flat(gradients[i])
        for i, product in enumerate(products)
    ]


def gauss_newton(
    logits: Tensor, params: Sequence[Tensor], generator: torch.Generator | None = None
) -> Diagonals:
    """One draw of B g^2, with g the gradient of the mean cross-entropy for drawn labels.

    Args:
        logits: the model's outputs, B rows of one entry for each class (leading dimensions are
            taken together), with their graph, which is kept.
        params: leaves of the graph.
        generator: of the random numbers; on the logits' device.

    Returns:
        For each parameter an estimate in its shape; its mean is the Gauss-Newton diagonal of the
        mean cross-entropy.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    chances = rows.detach().softmax(-1)
    labels = torch.multinomial(chances, 1, generator=generator).squeeze(-1)
    loss = torch.nn.functional.cross_entropy(rows, labels)
    gradients = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    return [None if g is None else len(rows) * g * g for g in gradients]


def _normal_like(p: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(p.shape, generator=generator, dtype=p.dtype, device=p.device)


def _flat(gradient: Tensor | None) -> Tensor | None:
    """The curvature of a parameter that the loss depends on in a straight line, or not at all."""
    return None if gradient is None else torch.zeros_like(gradient)
