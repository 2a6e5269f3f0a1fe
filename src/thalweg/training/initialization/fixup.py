r"""Fixup: residual nets of any depth trained without normalization.

Each residual branch adds its variance to the trunk, so that He's weights double the signal's second
moment with every block; and an update of every branch moves the output as many times as there are
branches. H. Zhang, Y. N. Dauphin & T. Ma, *Fixup initialization* (ICLR 2019), of L branches with m
layers each:

1. the last layer of each branch, and the head, are zero;
2. the other layers of a branch are He's, scaled by L^(-1 / (2m - 2));
3. a scalar bias before each layer and nonlinearity, and one scalar multiplier in each branch.

The third is architecture, and is left to the model: parameters of its own, named in
`initialize(leave=...)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

from torch import Tensor, nn

from thalweg.training.initialization.fans import CONVOLUTIONS, TRANSPOSED, Convolution, Transposed
from thalweg.training.initialization.plans import RECURRENT
from thalweg.training.normalization.places import NORMALIZATIONS

Layer = nn.Linear | Convolution | Transposed
LAYERS: Final = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
UNFIT: Final = (
    *RECURRENT,
    nn.MultiheadAttention,
    *NORMALIZATIONS,
)


@final
@dataclass(frozen=True)
class Fixup:
    """Rules 1 and 2 of Fixup, as a kind of `initialize`.

    Attributes:
        branches: the residual branch of each block, a module of the model that holds its layers in
            the order in which they are called.
        head: the output layer.
    """

    branches: Sequence[nn.Module]
    head: Layer
    base: ClassVar[str] = "he"

    def check(self, model: nn.Module) -> None:
        """Raise unless the branches and the head are parts of the model that the rules are for."""
        held = {id(module) for module in model.modules()}
        if not self.branches or not isinstance(self.head, LAYERS):
            raise ValueError(
                "Fixup(branches, head): give the module of each residual branch, at least one, and "
                "the output layer."
            )
        for name, part in (("head", self.head), *(("a branch", one) for one in self.branches)):
            if id(part) not in held:
                raise ValueError(f"Fixup(branches, head): {name} is no module of the model.")
        for at, branch in enumerate(self.branches):
            unfit = next((one for one in branch.modules() if isinstance(one, UNFIT)), None)
            if unfit is not None or not layers(branch):
                what = f"holds {type(unfit).__name__}" if unfit else "holds no layer"
                raise ValueError(
                    f"Fixup(branches, head): branch {at} {what}; it is for branches of linear and "
                    "convolutional layers without normalization."
                )

    def finish(self, model: nn.Module, drawn: set[int]) -> None:
        """Scale what was drawn by He's rule, the parameters of these identities."""
        for branch in self.branches:
            *inner, last = layers(branch)
            for layer in inner:
                times(layer.weight, len(self.branches) ** (-1 / (2 * len(inner))), drawn)
            times(last.weight, 0.0, drawn)
        times(self.head.weight, 0.0, drawn)


def times(weight: Tensor, factor: float, drawn: set[int]) -> None:
    """Scale a weight that was drawn."""
    if id(weight) in drawn:
        weight.mul_(factor)


def layers(branch: nn.Module) -> list[Layer]:
    """The layers of a branch that have weights, in the order in which they were registered."""
    return [module for module in branch.modules() if isinstance(module, LAYERS)]
