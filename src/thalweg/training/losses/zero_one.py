"""The 0-1 loss of classification, and the margin by which it is avoided.

With two classes y in {-1, +1} and one output f, the margin is y f; with several classes and an
output for each, it is that of the right class less the largest other one. The 0-1 loss is one where
the margin is not positive: a tie is an error. It has no derivative to follow, which is why another
loss is minimized in its place. (Goodfellow, Bengio & Courville 2016, section 8.1.2.)
"""

from __future__ import annotations

import torch
from torch import Tensor


def margins(outputs: Tensor, targets: Tensor) -> Tensor:
    """The margin of every sample, (n,).

    Args:
        outputs: (n,) or (n, 1) for two classes, by their sign; (n, classes) for several.
        targets: (n,): for outputs of one number, 1 for the positive class and 0 or -1 for the
            other; else the class, an integer.

    Raises:
        ValueError: shapes that do not fit.
    """
    if outputs.dim() == 2 and outputs.shape[1] > 1:
        right = scores_of(outputs, targets)
        others = outputs.scatter(1, targets[:, None], -torch.inf)
        return right - others.amax(1)
    outputs = outputs.squeeze(1) if outputs.dim() == 2 else outputs
    if outputs.dim() != 1 or outputs.shape != targets.shape:
        raise ValueError(
            f"margins(outputs, targets): shapes {tuple(outputs.shape)} and {tuple(targets.shape)}; "
            "give outputs (n,), (n, 1) or (n, classes) and targets (n,)."
        )
    return signs(targets).to(outputs.dtype) * outputs


def signs(targets: Tensor) -> Tensor:
    """+1 for the class 1, -1 for the class 0 or -1."""
    return 2 * (targets > 0).long() - 1


def scores_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """The output of the right class, (n,).

    Raises:
        ValueError: targets that are no classes of these outputs.
    """
    if targets.shape != outputs.shape[:1] or targets.is_floating_point():
        raise ValueError(
            f"outputs {tuple(outputs.shape)} need targets of shape ({len(outputs)},) that number "
            f"classes; got {tuple(targets.shape)}, {targets.dtype}."
        )
    return outputs.gather(1, targets[:, None]).squeeze(1)


def zero_one_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 for every sample that is not classified rightly, else 0; (n,), float32.

    Args:
        outputs: as for `margins`.
        targets: as for `margins`.
    """
    return 1 - (margins(outputs, targets) > 0).float()
