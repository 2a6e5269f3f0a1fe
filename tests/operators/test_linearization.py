"""The kept linearization: dense Jacobians of every convolution, and what a product costs."""

import pytest
import torch
from jacobian_references import dense_jacobian, output_of
from networks import normal, relative, trainable
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from thalweg.operators import (
    EmpiricalFisher,
    Fisher,
    GaussNewton,
    GradientCovariance,
    Jacobian,
    MonteCarloFisher,
)
from thalweg.operators.convolution import LinearConvolutions

CONVOLUTIONS = {
    "1d": (nn.Conv1d(2, 3, 3), (2, 7)),
    "strided, grouped": (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (4, 8)),
    "2d, dilated": (nn.Conv2d(2, 2, 2, dilation=2, bias=False), (2, 4, 5)),
    "2d, two strides": (nn.Conv2d(1, 2, (1, 3), stride=(2, 1), padding=(0, 1)), (1, 4, 3)),
    "3d": (nn.Conv3d(1, 2, 2), (1, 3, 3, 3)),
    "padding by name": (nn.Conv2d(1, 2, 3, padding="same"), (1, 3, 4)),
    "padding by reflection": (nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 3, 4)),
    "transposed 1d": (nn.ConvTranspose1d(2, 3, 3, stride=2, output_padding=1), (2, 4)),
    "transposed 2d": (nn.ConvTranspose2d(2, 4, 2, groups=2, dilation=2), (2, 3, 3)),
    "transposed 3d": (nn.ConvTranspose3d(1, 1, 2, padding=1), (1, 3, 3, 3)),
}


class Twice(nn.Module):
    """A convolution whose input depends on parameters, too."""

    def __init__(self, layer, shape):
        super().__init__()
        self.scale, self.layer = nn.Parameter(normal(*shape)), layer

    def forward(self, x):
        return self.layer((x * self.scale).tanh()).tanh()


VARYING = [
    (kind, vary)
    for kind, (layer, _) in CONVOLUTIONS.items()
    for vary in ("all", "layer.weight", "layer.bias", "scale")
    if vary != "layer.bias" or layer.bias is not None
]


@pytest.mark.parametrize(("kind", "vary"), VARYING)
def test_convolutions_against_the_dense_jacobian(kind, vary):
    layer, shape = CONVOLUTIONS[kind]
    model, x = Twice(layer, shape).double(), normal(2, *shape)
    params = {name: p for name, p in trainable(model).items() if vary in ("all", name)}
    expected = dense_jacobian(output_of(model, (x, None)), params)
    jacobian = Jacobian.of_model(model, (x, None), params=list(params))
    assert torch.equal(jacobian.value, model(x).detach().reshape(-1))
    v, u = normal(jacobian.shape[1], 3), normal(jacobian.shape[0], 3)
    assert relative(jacobian @ v, expected @ v) < 1e-13
    assert relative(jacobian @ v[:, 0], expected @ v[:, 0]) < 1e-13
    assert relative(jacobian.T @ u, expected.T @ u) < 1e-13
    assert relative(jacobian.T @ u[:, 0], expected.T @ u[:, 0]) < 1e-13


def test_a_convolution_by_keywords_and_without_a_batch():
    x, w = normal(2, 5), normal(3, 2, 2)
    expected = F.conv1d(x, w, stride=2)
    with LinearConvolutions():
        assert torch.equal(F.conv1d(input=x, weight=w, stride=2), expected)
        assert torch.equal(F.conv1d(input=x[None], weight=w, stride=2)[0], expected)
        assert torch.equal(torch.conv1d(x[None], weight=w, bias=None, stride=(2,))[0], expected)


def test_autocast_chooses_its_own_precision():
    x, w = torch.randn(1, 2, 5), torch.randn(3, 2, 2)
    with LinearConvolutions(), torch.autocast("cpu", torch.bfloat16):
        assert F.conv1d(x, w).dtype == torch.bfloat16


class Unbatchable(torch.autograd.Function):
    """x^2, by a function that vmap does not know."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * OnlyAlone.apply(g)


class OnlyAlone(torch.autograd.Function):
    """The identity; its own derivative reads numbers, which vmap cannot do."""

    @staticmethod
    def forward(ctx, g):
        return g.clone()

    @staticmethod
    def backward(ctx, g):
        return g * (1.0 if g.sum().item() != 12345 else 0.0)


def test_what_cannot_be_batched_is_done_one_by_one():
    params = {"w": normal(4)}
    operator = GaussNewton(lambda p: Unbatchable.apply(p["w"]), lambda z: z.pow(2).sum(), params)
    assert relative(operator.to_dense(), torch.diag(8 * params["w"] ** 2)) < 1e-14


def deep_mlp():
    layers = [layer for _ in range(12) for layer in (nn.Linear(32, 32), nn.Tanh())]
    return nn.Sequential(*layers), torch.randn(16, 32)


def convolutions():
    layers = [
        layer
        for _ in range(12)
        for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    ]
    return nn.Sequential(*layers), torch.randn(2, 8, 8, 8)


def transformer():
    layer = nn.TransformerEncoderLayer(16, 2, dim_feedforward=32, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 4), torch.randn(6, 6, 16)


def flops(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def flops_of_a_gradient(model, x):
    def gradient():
        with sdpa_kernel(SDPBackend.MATH):
            loss = F.mse_loss(model(x), torch.zeros_like(x))
        torch.autograd.grad(loss, list(model.parameters()))

    return flops(gradient)


NETS = [deep_mlp, convolutions, transformer]
OPERATORS = [Fisher, MonteCarloFisher, EmpiricalFisher, GradientCovariance]


COSTS = [
    *((make, GaussNewton, vectors) for make in NETS for vectors in (1, 3)),
    *((deep_mlp, kind, 1) for kind in OPERATORS),
]


@pytest.mark.parametrize(("make", "kind", "vectors"), COSTS)
def test_a_product_costs_four_thirds_of_a_gradient(make, kind, vectors):
    model, x = make()
    operator = kind.of_model(model, F.mse_loss, (x, torch.zeros_like(x)), check=False)
    v = torch.ones(operator.size, vectors).squeeze(1)
    operator.linearization.at_once = 2
    ratio = flops(lambda: operator @ v) / flops_of_a_gradient(model, x) / vectors
    # A first layer needs no gradient of its inputs, which makes shallow networks cheaper still.
    assert 1.25 <= ratio <= 1.34


@pytest.mark.parametrize("make", NETS)
def test_either_product_of_a_jacobian_costs_two_thirds_of_a_gradient(make):
    model, x = make()
    jacobian = Jacobian.of_model(model, (x, None))
    jacobian.prepare()
    v, u = torch.ones(jacobian.shape[1]), torch.ones(jacobian.shape[0])
    assert 0.6 <= flops(lambda: jacobian @ v) / flops_of_a_gradient(model, x) <= 0.67
    assert 0.6 <= flops(lambda: jacobian.T @ u) / flops_of_a_gradient(model, x) <= 0.67


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
@pytest.mark.parametrize("kind", [GaussNewton, GradientCovariance])
def test_products_do_not_depend_on_how_many_go_at_once(kind, at_once):
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), normal(5, 3)
    operator = kind.of_model(model, F.mse_loss, (x, normal(5, 2)))
    vectors = normal(operator.size, 5)
    expected = torch.stack([operator @ v for v in vectors.unbind(1)], 1)
    operator.linearization.at_once = at_once
    assert relative(operator @ vectors, expected) < 1e-14
