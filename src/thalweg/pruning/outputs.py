r"""What is to be kept where no loss is given: the network's own outputs.

    E(w) = |f(x; w) - f(x; v)|^2, in the mean over samples and outputs;    v the weights as they are

At v it is zero, and so is its gradient, whatever the training came to: what Optimal Brain Surgeon
supposes of a loss at its minimum holds here exactly, and the Hessian is the Gauss-Newton matrix
2 J'J. A loss that a classifier has nearly fitted is another matter: its curvature vanishes where
the probabilities are near 0 and 1, so that it finds weights cheap which are not, and compensates
by steps so long that the quadratic holds no more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.operators.batches import Batches
from thalweg.operators.model_loss import FrozenModel


def own_outputs(model: nn.Module, data: Any) -> list[tuple[Any, Tensor]]:
    """The batches of `data` with the model's outputs for targets.

    Raises:
        TypeError: the model's output is no tensor.
    """
    frozen, found = FrozenModel(model), []
    with torch.no_grad():
        for stream, (batch, _, _) in enumerate(Batches(data)):
            with frozen.restarted(stream) as call:
                output = call({}, batch.inputs)
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"prune: the model's output is a {type(output).__name__}, which cannot be "
                    "compared with itself; give loss=, from such an output and the targets."
                )
            found.append((batch.inputs, output))
    return found
