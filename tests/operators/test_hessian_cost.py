"""A product through the kept graph costs two gradients, counted in floating point operations."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from thalweg.operators import Hessian


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


def loader(make, batches=3):
    model, x = make()
    return model, [(x + i, torch.zeros_like(x)) for i in range(batches)]


def gradient_flops(model, data):
    def gradients():
        for x, target in data:
            torch.autograd.grad(F.mse_loss(model(x), target), list(model.parameters()))

    return flops(gradients)


@pytest.mark.parametrize(("memory", "gradients"), [(None, 2.0), (0, 3.0)])
def test_over_a_loader_a_product_costs_two_gradients_where_graphs_are_kept(memory, gradients):
    model, data = loader(deep_mlp)
    h = Hessian.of_model(model, F.mse_loss, data, memory=memory)
    v = torch.ones(h.size)
    ratio = flops(lambda: [h @ v for _ in range(5)]) / 5 / gradient_flops(model, data)
    assert gradients - 0.2 <= ratio <= gradients + 0.05


def kept_bytes(model, data):
    """What autograd saves for one Hessian's products, seen by hooks instead of by the graph."""
    seen, params = {}, list(model.parameters())
    own = {p.untyped_storage().data_ptr() for p in params}

    def pack(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    (x, target), everything = data, []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = F.mse_loss(model(x), target)
        everything = torch.autograd.grad(loss, params, create_graph=True)
    storages = {g.untyped_storage().data_ptr(): g.untyped_storage() for g in everything}
    return sum(s.nbytes() for place, s in {**seen, **storages}.items() if place not in own)


@pytest.mark.parametrize("make", [deep_mlp, convolutions])
def test_what_is_held_is_what_autograd_saves(make):
    model, data = loader(make, 1)
    with Hessian.of_model(model, F.mse_loss, data) as h:
        assert h.held == pytest.approx(kept_bytes(model, data[0]), rel=0.02)
    assert h.held == 0


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_as_many_graphs_are_kept_as_memory_allows(kept):
    model, data = loader(deep_mlp)
    one = Hessian.of_model(model, F.mse_loss, data[:1]).held
    calls = []

    def loss(output, target):
        calls.append(1)
        return F.mse_loss(output, target)

    budget = int(one * (kept + 0.5))
    h = Hessian.of_model(model, loss, data, memory=budget, check=False)
    assert h.kept == kept
    assert h.held <= budget
    calls.clear()
    h @ torch.ones(h.size)
    assert len(calls) == 3 - kept


def test_closing_frees_the_graphs_of_all_batches():
    model, data = loader(deep_mlp)
    with Hessian.of_model(model, F.mse_loss, data) as h:
        assert h.held > 0
    assert h.held == 0
    with pytest.raises(RuntimeError, match="after close"):
        h @ torch.ones(h.size)
