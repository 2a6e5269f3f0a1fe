"""What is known of PyTorch's losses as functions of the model's output, the targets held fixed.

A loss that is not listed may be anything; nothing is claimed of it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.operators.reduction import option

# Linear between kinks: the second derivative is zero wherever there is one.
PIECEWISE_LINEAR = (
    nn.L1Loss,
    nn.NLLLoss,
    nn.KLDivLoss,
    nn.HingeEmbeddingLoss,
    nn.MultiLabelMarginLoss,
    F.l1_loss,
    F.nll_loss,
    F.kl_div,
    F.hinge_embedding_loss,
    F.multilabel_margin_loss,
)

# Sums of convex functions with the weights of classes and samples, which must not be negative.
CONVEX = (
    *PIECEWISE_LINEAR,
    nn.MSELoss,
    nn.CrossEntropyLoss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.HuberLoss,
    nn.SmoothL1Loss,
    nn.SoftMarginLoss,
    nn.MultiLabelSoftMarginLoss,
    nn.PoissonNLLLoss,
    F.mse_loss,
    F.cross_entropy,
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.huber_loss,
    F.smooth_l1_loss,
    F.soft_margin_loss,
    F.multilabel_soft_margin_loss,
    F.poisson_nll_loss,
)


def kind_of(loss: Any) -> Any:
    """What a loss is: the class of an object, the function itself, that inside a `partial`."""
    if isinstance(loss, partial):
        return kind_of(loss.func)
    return type(loss) if isinstance(loss, nn.Module) else loss


def is_piecewise_linear(loss: Any) -> bool:
    """Whether `loss` is known to be linear in the output between kinks."""
    return kind_of(loss) in PIECEWISE_LINEAR


def is_convex(loss: Any) -> bool:
    """Whether `loss` is known to be convex in the output."""
    weights = [option(loss, name, None) for name in ("weight", "pos_weight")]
    negative = any(isinstance(w, Tensor) and bool((w < 0).any()) for w in weights)
    return kind_of(loss) in CONVEX and not negative
