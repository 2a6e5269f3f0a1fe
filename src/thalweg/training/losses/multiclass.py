r"""The hinge of several classes, s_j the output of class j and y the right one.

    Crammer-Singer    max(0, 1 + max_(j != y) s_j - s_y)
    Weston-Watkins    sum_(j != y) max(0, 1 + s_j - s_y)

The first is the hinge of the margin, the second compares with every other class; PyTorch's
`multi_margin_loss` is it, divided by the number of classes. Neither is consistent for every
distribution: where no class has half of the probability, equal outputs, which say nothing, have the
least Crammer-Singer risk. Cross-entropy is consistent always.

Reference: Crammer & Singer (2001), JMLR 2, 265-292; Weston & Watkins (1998), CSD-TR-98-04;
Zhang (2004), JMLR 5, 1225-1251, and Tewari & Bartlett (2007), JMLR 8, 1007-1025, on consistency.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from thalweg.training.losses.margin import MARGIN_LOSSES
from thalweg.training.losses.zero_one import scores_of


def crammer_singer(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean hinge of the margin.

    Args:
        outputs: (n, classes), two classes at least.
        targets: (n,), the right classes.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_classes("crammer_singer", outputs)
    return MARGIN_LOSSES["hinge"](outputs, targets)


def weston_watkins(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over samples of the sum of hinges against every other class.

    Args:
        outputs: (n, classes), two classes at least.
        targets: (n,), the right classes.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_classes("weston_watkins", outputs)
    scores_of(outputs, targets)  # for its refusals
    return outputs.shape[1] * F.multi_margin_loss(outputs, targets)


def check_classes(name: str, outputs: Tensor) -> None:
    """Refuse outputs that are not one for each of several classes.

    Raises:
        ValueError: they are not.
    """
    if outputs.dim() != 2 or outputs.shape[1] < 2:
        raise ValueError(
            f"{name}(outputs, targets): outputs have the shape {tuple(outputs.shape)}; give "
            "(n, classes). For two classes with one output take margin_loss('hinge')."
        )
