"""The Hessian against dense references, on every kind of loss that has tripped other tools."""

import gc
import math
import weakref

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.operators import Hessian, Layout

CASES = {}


def case(make):
    """Register make() -> (loss of parameters, parameters)."""
    CASES[make.__name__] = make
    return make


def of(model, loss, inputs):
    model = model.double()
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return lambda p: loss(functional_call(model, p, inputs)), params


def inputs(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@case
def mlp():
    labels = torch.randint(0, 3, (7,))
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return of(model, lambda out: F.cross_entropy(out, labels), inputs(7, 4))


@case
def scalar_of_shape_one():
    return (lambda p: (p["w"] ** 4).sum().reshape(1)), {"w": inputs(3)}


@case
def attention():
    x = inputs(2, 4, 3)

    def loss(p):
        return F.scaled_dot_product_attention(x @ p["q"], x @ p["k"], x @ p["v"]).square().mean()

    return loss, {name: inputs(3, 3) for name in "qkv"}


@case
def transformer_in_train_mode():
    layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=5, dropout=0.0, batch_first=True)
    return of(layer, lambda out: out.pow(4).mean(), inputs(2, 3, 4))


@case
def transformer_in_eval_mode():
    layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=5, batch_first=True).eval()
    return of(layer, lambda out: out.pow(4).mean(), inputs(2, 3, 4))


@case
def batch_norm_in_train_mode():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))
    return of(model, lambda out: out.square().mean(), inputs(6, 3))


@case
def convolution():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten())
    return of(model, lambda out: out.square().mean(), inputs(2, 1, 6, 6))


@case
def recurrent():
    return of(nn.LSTM(2, 3, batch_first=True), lambda out: out[0].pow(2).mean(), inputs(2, 4, 2))


@case
def tied_parameters():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return of(model, lambda out: out.square().mean(), inputs(5, 4))


@case
def penalty():
    loss, params = mlp()
    return (lambda p: loss(p) + 0.3 * sum((w**2 + w**4).sum() for w in p.values())), params


@case
def unused_parameter():
    loss, params = mlp()
    return loss, {"idle": inputs(2, 2), **params, "idle too": inputs(1)}


@case
def parameter_that_enters_linearly():
    return (lambda p: p["a"].sum() + (p["b"] ** 3).sum()), {"a": inputs(2), "b": inputs(3)}


@case
def linear_loss():
    return (lambda p: (2 * p["a"]).sum()), {"a": inputs(4)}


def dense_reference(loss, params):
    """torch.autograd.functional.hessian over the flat vector: from the loss, row by row."""
    layout = Layout.of(params)
    flat = layout.flatten(params).detach()
    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.functional.hessian(lambda w: loss(layout.unflatten(w)), flat)


def finite_differences(loss, params, step=1e-5):
    """Central differences of the gradient: no second derivative enters."""
    layout = Layout.of(params)
    flat = layout.flatten(params).detach()

    def gradient(w):
        w = w.clone().requires_grad_()
        return torch.autograd.grad(loss(layout.unflatten(w)), w)[0]

    rows = [
        (gradient(flat + e) - gradient(flat - e)) / (2 * step)
        for e in step * torch.eye(layout.size, dtype=flat.dtype)
    ]
    return torch.stack(rows)


every_case = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())


@every_case
def test_equals_the_dense_hessian(make):
    loss, params = make()
    dense = dense_reference(loss, params)
    torch.testing.assert_close(Hessian(loss, params).to_dense(), dense, rtol=1e-9, atol=1e-11)


@every_case
def test_equals_finite_differences_of_the_gradient(make):
    loss, params = make()
    expected = finite_differences(loss, params)
    torch.testing.assert_close(Hessian(loss, params).to_dense(), expected, rtol=1e-5, atol=1e-7)


@every_case
def test_is_symmetric_and_linear(make):
    h = Hessian(*make())
    u, v = torch.randn(2, h.size, dtype=h.dtype)
    torch.testing.assert_close(u @ (h @ v), v @ (h @ u))
    torch.testing.assert_close(h @ (2 * u - 3 * v), 2 * (h @ u) - 3 * (h @ v))
    torch.testing.assert_close(h @ torch.stack([u, v], 1), torch.stack([h @ u, h @ v], 1))


@every_case
def test_carries_loss_and_gradient(make):
    loss, params = make()
    h = Hessian(loss, params)
    flat = h.layout.flatten(params).detach().requires_grad_()
    value = loss(h.layout.unflatten(flat))
    (gradient,) = torch.autograd.grad(value, flat)
    assert h.loss == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(h.gradient, gradient)
    assert not h.gradient.requires_grad


def test_a_quadratic_by_hand():
    h = Hessian(
        lambda p: 3 * p["x"] ** 2 + p["x"] * p["y"],
        {"x": torch.tensor(2.0, dtype=torch.float64), "y": torch.tensor(5.0, dtype=torch.float64)},
    )
    assert h.to_dense().tolist() == [[6, 1], [1, 0]]
    assert h.gradient.tolist() == [17, 2]
    assert h.loss == 22


def test_evaluates_the_loss_once():
    calls = []
    loss, params = mlp()
    h = Hessian(lambda p: calls.append(1) or loss(p), params)
    h.to_dense()
    assert len(calls) == 1


def test_stays_where_it_was_taken_when_the_parameters_move_on():
    loss, params = mlp()
    h = Hessian(loss, params)
    before = h.to_dense()
    with torch.no_grad():
        for p in params.values():
            p.add_(1.0)
    torch.testing.assert_close(h.to_dense(), before, rtol=0, atol=0)


def test_leaves_the_parameters_and_their_gradients_alone():
    loss, params = mlp()
    before = {name: p.detach().clone() for name, p in params.items()}
    Hessian(loss, params).to_dense()
    for name, p in params.items():
        assert p.grad is None
        assert torch.equal(p, before[name])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_switched_off(mode):
    loss, params = mlp()
    expected = Hessian(loss, params).to_dense()
    with mode():
        torch.testing.assert_close(Hessian(loss, params).to_dense(), expected)


def test_gives_the_attention_kernels_back():
    enabled = [torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.math_sdp_enabled]
    before = [ask() for ask in enabled]
    Hessian(*attention()).to_dense()
    assert [ask() for ask in enabled] == before


def test_mixed_precision_parameters_share_the_widest():
    params = {"a": torch.ones(2, dtype=torch.float32), "b": torch.ones(1, dtype=torch.float64)}
    h = Hessian(lambda p: (p["a"].double() ** 2).sum() * p["b"].sum(), params)
    assert h.dtype == torch.float64
    assert h.to_dense().tolist() == [[2, 0, 2], [0, 2, 2], [2, 2, 0]]


def test_close_frees_the_graph_and_refuses_products():
    saved = []

    def loss(p):
        activation = torch.tanh(p["w"])
        saved.extend([weakref.ref(activation), weakref.ref(p["w"])])
        return (activation**2).sum()

    with Hessian(loss, {"w": torch.ones(3)}) as h:
        v = torch.ones(3)
        h @ v
        gc.collect()
        assert saved[0]() is not None
    gc.collect()
    assert [kept() for kept in saved] == [None, None]
    assert h.loss == pytest.approx(3 * math.tanh(1) ** 2)
    with pytest.raises(RuntimeError, match="after close"):
        h @ v


W = {"w": torch.ones(3)}
REFUSALS = {
    "not a tensor": (lambda p: 1.0, W, TypeError, r"returned a float.*without \.item"),
    "not a scalar": (lambda p: p["w"], W, ValueError, r"shape \(3,\).*mean"),
    "nan": (lambda p: p["w"].sum() * math.nan, W, ValueError, "is nan.*no curvature"),
    "infinite": (lambda p: p["w"].sum() / 0, W, ValueError, "is inf"),
    "no gradient": (lambda p: p["w"].sum().detach(), W, ValueError, "carries no gradient"),
    "other parameters": (
        lambda p: torch.ones(1, requires_grad=True).sum(),
        W,
        ValueError,
        "does not depend",
    ),
    "no parameters": (lambda p: torch.ones(()), {}, ValueError, "holds no number"),
    "a list": (lambda p: torch.ones(()), [torch.ones(1)], TypeError, "params is a list"),
    "a number": (lambda p: torch.ones(()), {"w": 1.0}, TypeError, r"params\['w'\] is a float"),
    "integers": (
        lambda p: torch.ones(()),
        {"w": torch.ones(2, dtype=torch.int64)},
        ValueError,
        "torch.int64",
    ),
    "tied twice": (lambda p: p["a"].sum(), dict.fromkeys("ab", W["w"]), ValueError, "one tensor"),
    "sparse": (
        lambda p: F.embedding(torch.tensor([0]), p["w"], sparse=True).pow(2).sum(),
        {"w": torch.ones(2, 2)},
        ValueError,
        "sparse=False",
    ),
}


@pytest.mark.parametrize(("loss", "params", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(loss, params, error, says):
    with pytest.raises(error, match=says):
        Hessian(loss, params)


def test_an_operation_without_second_derivative_is_explained():
    bags = torch.tensor([[0, 1], [1, 1]])
    with pytest.raises(NotImplementedError, match=r"no second derivative.*critical_rate"):
        Hessian(
            lambda p: F.embedding_bag(bags, p["w"]).pow(2).sum(), {"w": torch.ones(2, 2)}
        ).to_dense()


class TestOfModel:
    def test_equals_the_hessian_of_the_function(self):
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        x, y = inputs(5, 3), torch.randint(0, 2, (5,))
        h = Hessian.of_model(model, F.cross_entropy, (x, y))
        expected = dense_reference(
            lambda p: F.cross_entropy(functional_call(model, p, x), y),
            dict(model.named_parameters()),
        )
        torch.testing.assert_close(h.to_dense(), expected)

    def test_leaves_out_frozen_parameters(self):
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        model[0].requires_grad_(False)
        h = Hessian.of_model(model, F.mse_loss, (torch.randn(5, 3), torch.randn(5, 2)))
        assert h.layout.names == ("1.weight", "1.bias")
        assert h.size == 10

    def test_a_model_with_everything_frozen_is_refused(self):
        model = nn.Linear(3, 2).requires_grad_(False)
        with pytest.raises(ValueError, match="at least one parameter"):
            Hessian.of_model(model, F.mse_loss, (torch.randn(5, 3), torch.randn(5, 2)))
