"""A product through the kept graph costs two gradients, counted in floating point operations."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from thalweg.curvature import Hessian


def deep_mlp():
    layers = [layer for _ in range(12) for layer in (nn.Linear(32, 32), nn.Tanh())]
    return nn.Sequential(*layers), torch.randn(16, 32)


def convolutions():
    layers = [layer for _ in range(8) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.Tanh())]
    return nn.Sequential(*layers), torch.randn(2, 8, 8, 8)


def transformer():
    layer = nn.TransformerEncoderLayer(16, 2, dim_feedforward=32, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 4), torch.randn(2, 6, 16)


def flops(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("make", [deep_mlp, convolutions, transformer])
def test_a_product_costs_two_gradients(make):
    model, x = make()
    target = torch.zeros_like(x)

    def gradient():
        with sdpa_kernel(SDPBackend.MATH):
            loss = F.mse_loss(model(x), target)
        torch.autograd.grad(loss, list(model.parameters()))

    h = Hessian.of_model(model, F.mse_loss, (x, target))
    v = torch.ones(h.size)
    ratio = flops(lambda: h @ v) / flops(gradient)
    # A first layer needs no gradient of its inputs, which makes shallow networks cheaper still.
    assert 1.8 <= ratio <= 2.05
