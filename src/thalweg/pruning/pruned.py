"""What pruning leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn
from torch.nn.utils import prune as torch_prune


@final
@dataclass(frozen=True)
class Pruned:
    """A model with masks on its weights.

    Attributes:
        model: the model that was given, its weights masked by `torch.nn.utils.prune`.
        method: by which they were chosen.
        pattern: of the zeros, as it may be written.
        zeros: how many weights of each layer are gone, by the layers' paths.
        weights: how many each layer has.
        left_out: linear layers and convolutions that were not pruned.
    """

    model: nn.Module
    method: str
    pattern: str
    zeros: dict[str, int]
    weights: dict[str, int]
    left_out: tuple[str, ...]

    @property
    def sparsity(self) -> float:
        """The share of zeros among the weights of the pruned layers."""
        return sum(self.zeros.values()) / sum(self.weights.values())

    def make_permanent(self) -> nn.Module:
        """Take the masks off and leave the zeros (`torch.nn.utils.prune.remove`); the model."""
        modules = dict(self.model.named_modules())
        for path in self.zeros:
            torch_prune.remove(modules[path], "weight")  # type: ignore[no-untyped-call]
        return self.model
