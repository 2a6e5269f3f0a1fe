r"""LARS: momentum whose steps are in proportion to each layer's weights.

Idea: early in training a layer's gradient may be as long as its weights, and another's a thousand
times shorter. Let every layer change by the same fraction of itself.

Formula:

    q = eta |p| / (|g| + weight_decay |p| + eps)         eta = trust_coefficient
    b <- mu b + lr q (g + weight_decay p)                mu = momentum
    p <- p - b

with norms over the whole tensor, and q = 1 where |p| or |g| is zero.

Why: with weight decay aside, the step is eta lr long for weights of length 1, whatever the
gradient's scale: lr has the meaning of a fraction, the same for all layers, and large batches may
take the large rates that they need.

When: convolutional networks in batches of thousands. Biases and the scales of normalization layers
are usually left out: put them in a group with `always_adapt=False` and no weight decay.

Convention: the paper's: the learning rate stands inside the momentum, so that a change of lr acts
on new gradients only; `lr_inside_momentum=False` is PyTorch's momentum, as timm and NVIDIA's apex
have it. With `always_adapt=False` (timm's and apex's way) q = 1 where weight_decay is zero.
`trust_norm="sum"` divides by |g + weight_decay p| as optax does, instead of the sum of the norms.
`nesterov` looks ahead: p <- p - (mu b + lr q (g + weight_decay p)).

Sharding: both norms are of the whole tensor; the engine gathers sharded parameters before the step.

Reference: You, Gitman & Ginsburg (2017), arXiv 1708.03888, algorithm 1.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.linalg import vector_norm

from thalweg.optim.hyperparameters import define
from thalweg.optim.matrices import in_single
from thalweg.optim.rule import rule, slot

define(
    "trust_coefficient",
    "the fraction of its own length that a layer moves at lr = 1",
    "a number > 0",
    lambda x: bool(x > 0),
)
define(
    "trust_norm",
    "what the weights' length is divided by: the sum of the norms of gradient and decay, or the "
    "norm of their sum",
    choices=("norms", "sum"),
)


def _nesterov_needs_momentum(hyper: Mapping[str, Any]) -> None:
    if hyper["nesterov"] and not hyper["momentum"]:
        raise ValueError(
            f"Nesterov momentum requires a momentum; got momentum={hyper['momentum']}. "
            "Set momentum=0.9, or nesterov=False."
        )


@rule("odd", "rotation-equivariant", check=_nesterov_needs_momentum)
def lars(  # type: ignore[no-untyped-def]
    p, g, b=slot("momentum_buffer", when="momentum"),
    *, lr=1.0, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3, eps=1e-8, nesterov=False,
    lr_inside_momentum=True, always_adapt=True, trust_norm="norms",
):  # fmt: skip
    """One step of LARS."""
    d = g + weight_decay * p
    if weight_decay or always_adapt:
        length, slope = vector_norm(in_single(p)), vector_norm(in_single(g))
        whole = vector_norm(in_single(d)) if trust_norm == "sum" else slope + weight_decay * length
        moving = (length > 0) & (slope > 0)
        d = d * torch.where(moving, trust_coefficient * length / (whole + eps), 1.0)
    inner, outer = (lr, 1.0) if lr_inside_momentum else (1.0, lr)
    d = inner * d
    if not momentum:
        return p - outer * d, None
    b = momentum * b + d
    return p - outer * (momentum * b + d if nesterov else b), b
