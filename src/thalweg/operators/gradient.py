"""A loss at its parameters, and its gradient, refused with advice where there is none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from thalweg.operators.differentiation import explained


def checked_loss(value: object) -> Tensor:
    """`value` as a 0-d tensor with a graph, or an error that says why it is not one."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"Hessian: loss(params) returned a {type(value).__name__}; return the loss as a "
            "scalar tensor, without .item() or float()."
        )
    if value.numel() != 1:
        raise ValueError(
            f"Hessian: loss(params) has shape {tuple(value.shape)}; return a scalar, such as its "
            ".mean() or .sum()."
        )
    if not bool(torch.isfinite(value.detach()).all()):
        raise ValueError(
            f"Hessian: loss(params) is {float(value.detach())}; a loss that is not finite has no "
            "curvature. Go back to parameters where it is."
        )
    if not value.requires_grad:
        raise ValueError(
            "Hessian: loss(params) carries no gradient; compute it from the tensors in params, "
            "without torch.no_grad() or .detach() on the way."
        )
    return value.reshape(())


def used_gradients(
    value: Tensor, params: Mapping[str, Tensor], *, twice: bool
) -> dict[str, Tensor]:
    """The gradient of each parameter that the loss uses; `twice` for one with a graph."""
    with explained():
        gradients = torch.autograd.grad(
            value, list(params.values()), create_graph=twice, allow_unused=True
        )
    used = {name: g for name, g in zip(params, gradients, strict=True) if g is not None}
    if not used:
        raise ValueError(
            "Hessian: loss(params) does not depend on params; it may compute with the model's own "
            "parameters. Use torch.func.functional_call(model, params, inputs), or "
            "Hessian.of_model(model, loss, data)."
        )
    for name, gradient in used.items():
        if gradient.layout != torch.strided:
            raise ValueError(
                f"Hessian: params[{name!r}] has a sparse gradient, which has no second derivative; "
                "build its layer with sparse=False."
            )
        if not bool(gradient.isfinite().all()):
            raise ValueError(
                f"Hessian: the gradient of params[{name!r}] is not finite, so the loss has no "
                "curvature here (a root or a norm at zero?). Go to parameters where it is."
            )
    return used
