"""Noise on inputs and on weights, while training only.

    model = nn.Sequential(GaussianNoise(0.1), model)       # on the inputs
    with weight_noise(model, 0.02):                        # on the weights
        train(model)

On a linear model with the squared loss, noise of variance sigma^2 on the inputs adds exactly the
penalty sigma^2 |w|^2 to the expected loss; on any model it does so to first order in sigma^2, with
the gradient of the output with respect to the input in place of w (Tikhonov's). Noise on the
weights adds sigma^2 |df/dw|^2 to first order: it draws training to where the output hardly depends
on the weights.

Reference: Bishop (1995), *Training with noise is equivalent to Tikhonov regularization*;
Goodfellow, Bengio & Courville, *Deep Learning*, sections 7.5 and 7.5.1.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from thalweg.training.regularization.selection import Place, places


@final
class GaussianNoise(nn.Module):
    """x + std n, with n standard normal and drawn anew at each call; x itself in evaluation mode.

    Args:
        std: the noise's standard deviation, in units of what it is added to.

    Raises:
        ValueError: a negative deviation.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        if std < 0:
            raise ValueError(f"GaussianNoise({std}): a standard deviation is 0 or more.")
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to the same shape."""
        return x + self.std * torch.randn_like(x) if self.training and self.std else x

    def extra_repr(self) -> str:
        """The deviation."""
        return f"std={self.std}"


@contextmanager
def weight_noise(model: nn.Module, std: float) -> Iterator[None]:
    """In the block, the model's weights are seen with fresh noise whenever they are used.

    Gradients are taken where the noise leads, steps are made on the weights themselves, and an
    optimizer made before the block goes on with the same parameters. Layers that share a weight
    each see noise of their own. Biases and normalization layers are left alone. In the block, a
    weight stands in `state_dict` under `parametrizations.weight.original`.

    Raises:
        ValueError: a weight of a recurrent layer, which PyTorch keeps aside, or one that has a
            parametrization already.
    """
    noised = {id(place.parameter) for place in places(model)}
    found = [  # one that layers share is met in each of them
        Place(module, name, parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if id(parameter) in noised
    ]
    for place in found:
        _refuse(place, std)
    with ExitStack() as stack:
        for module, name, _ in found:
            parametrize.register_parametrization(module, name, GaussianNoise(std))
            stack.callback(_without_noise, module, name, [*module._parameters])
        yield


def _without_noise(module: nn.Module, name: str, order: list[str]) -> None:
    """Take the noise away, and give the parameters the order that optimizers number them by."""
    parametrize.remove_parametrizations(module, name, leave_parametrized=False)
    for own in (one for one in order if one in module._parameters):
        parameter = module._parameters.pop(own)
        module.register_parameter(own, parameter)


def _refuse(place: Place, std: float) -> None:
    kind = type(place.module).__name__
    if isinstance(place.module, nn.RNNBase):
        raise ValueError(
            f"weight_noise(model, {std}): {kind} reads its weights where noise does not reach "
            "them. Take recurrent layers made of cells (nn.LSTMCell, ...), or noise on the inputs."
        )
    if isinstance(place.module, parametrize.ParametrizationList):
        raise ValueError(
            f"weight_noise(model, {std}): a weight has a parametrization already. Remove it first "
            "(torch.nn.utils.parametrize.remove_parametrizations)."
        )
