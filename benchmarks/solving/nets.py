"""Full-batch training problems: a network, a loss, all data, and a loss to get down to.

Everything is in float64, so that no method is stopped by the loss's rounding.

S. Hinton & R. Salakhutdinov (*Science* 313, 2006) and J. Martens (2010) train deep autoencoders;
I. Lagaris, A. Likas & D. Fotiadis (*IEEE Trans. Neural Networks* 9, 1998) solve differential
equations by networks that meet the initial conditions by their form.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

CODE = (64, 48, 24, 8, 24, 48, 64)
SECONDS = 4.0


@dataclass(frozen=True)
class Training:
    """A problem.

    Attributes:
        title: for tables.
        model: from a seed to the network as it begins.
        loss: from its output and the targets to a scalar.
        data: a function to (inputs, targets).
        target: the loss to be reached.
    """

    title: str
    model: Callable[[int], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    data: Callable[[], tuple[Tensor, Tensor]]
    target: float


def layers(widths, seed):
    """Linear layers with tanh between them, from torch's own start."""
    torch.manual_seed(seed)
    parts = []
    for fan_in, fan_out in pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out), nn.Tanh()]
    return nn.Sequential(*parts[:-1]).double()


class Pendulum(nn.Module):
    """What is left of x'' + sin x = 0 for x(t) = 1 + t^2 n(t), so that x(0) = 1 and x'(0) = 0.

    Args:
        seed: of n, a network with two hidden layers.
    """

    def __init__(self, seed):
        super().__init__()
        self.net = layers((1, 20, 20, 1), seed)

    def forward(self, t):
        """Shape (N, 1), for times of that shape."""
        n, speed, turn = t / SECONDS, torch.full_like(t, 1 / SECONDS), torch.zeros_like(t)
        for layer in self.net:
            n, speed, turn = derivatives(layer, n, speed, turn)
        x, acceleration = 1 + t**2 * n, 2 * n + 4 * t * speed + t**2 * turn
        return acceleration + torch.sin(x)


def derivatives(layer, h, first, second):
    """A layer's output and its two derivatives by time, from those of its input."""
    if isinstance(layer, nn.Linear):
        return layer(h), first @ layer.weight.T, second @ layer.weight.T
    a = layer(h)
    slope = 1 - a * a
    return a, slope * first, slope * second - 2 * a * slope * first * first


def digits():
    """1797 images of 8 x 8 pixels from 0 to 1, and what they show."""
    from sklearn.datasets import load_digits

    pixels, digit = load_digits(return_X_y=True)
    return torch.from_numpy(pixels / 16), torch.from_numpy(digit)


def times():
    t = torch.linspace(0, SECONDS, 200, dtype=torch.float64)[:, None]
    return t, torch.zeros_like(t)


PROBLEMS = (
    Training(
        "deep autoencoder",
        lambda seed: layers(CODE, seed),
        nn.MSELoss(),
        lambda: (digits()[0], digits()[0]),
        0.016,
    ),
    Training(
        "digits MLP",
        lambda seed: layers((64, 32, 10), seed),
        nn.CrossEntropyLoss(),
        digits,
        1e-3,
    ),
    Training("pendulum", Pendulum, nn.MSELoss(), times, 1e-6),
)
