"""Gauss-Newton against J' H J written down, on every network, and what is claimed and refused."""

from functools import partial

import pytest
import torch
from jacobian_references import dense_gauss_newton
from networks import NETWORKS, SIZES, mlp, normal, relative, trainable
from torch import nn
from torch.nn import functional as F

from thalweg.operators import GaussNewton, Hessian

RANDOM = {"dropout_in_train_mode", "encoder_layer_in_train_mode"}
every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
def test_one_batch_against_the_dense_matrix(name):
    model, loss, batches = NETWORKS[name]()
    state = torch.get_rng_state()
    operator = GaussNewton.of_model(model, loss, [batches[0]])
    torch.set_rng_state(state)
    expected = dense_gauss_newton(model, loss, batches[0], trainable(model))
    assert relative(operator.to_dense(), expected) < 1e-12
    column = torch.arange(operator.size, dtype=operator.dtype)
    assert relative(operator @ column, expected @ column) < 1e-12


RAGGED = [("mlp", None), *((name, 0) for name in sorted(set(NETWORKS) - RANDOM))]


@pytest.mark.parametrize(("name", "memory"), RAGGED)
def test_batches_count_by_their_samples(name, memory):
    model, loss, batches = NETWORKS[name]()
    parts = [dense_gauss_newton(model, loss, batch, trainable(model)) for batch in batches]
    expected = sum(n * part for n, part in zip(SIZES, parts, strict=True)) / sum(SIZES)
    operator = GaussNewton.of_model(model, loss, batches, memory=memory)
    assert relative(operator.to_dense(), expected) < 1e-12


@every_network
def test_has_the_hessians_loss_and_gradient(name):
    model, loss, batches = NETWORKS[name]()
    state = torch.get_rng_state()
    hessian = Hessian.of_model(model, loss, batches)
    torch.set_rng_state(state)
    operator = GaussNewton.of_model(model, loss, batches)
    assert operator.loss == pytest.approx(hessian.loss, rel=1e-14)
    torch.testing.assert_close(operator.gradient, hessian.gradient, rtol=1e-12, atol=1e-14)
    assert not operator.gradient.requires_grad


def test_equals_the_hessian_where_the_model_is_linear_in_its_parameters():
    model, data = nn.Linear(4, 3).double(), (normal(6, 4), torch.randint(0, 3, (6,)))
    operator = GaussNewton.of_model(model, F.cross_entropy, data)
    hessian = Hessian.of_model(model, F.cross_entropy, data)
    assert relative(operator.to_dense(), hessian.to_dense()) < 1e-14


def test_equals_the_hessian_where_the_fit_is_exact():
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), normal(5, 3)
    data = (x, model(x).detach())
    operator = GaussNewton.of_model(model, F.mse_loss, data)
    hessian = Hessian.of_model(model, F.mse_loss, data)
    assert relative(operator.to_dense(), hessian.to_dense()) < 1e-14


def test_a_penalty_counts_once_with_its_hessian():
    model, loss, data = mlp()
    plain = GaussNewton.of_model(model, loss, data)
    operator = GaussNewton.of_model(
        model, loss, data, penalty=lambda p: sum((w**4).sum() for w in p.values())
    )
    w = plain.place
    expected = plain.to_dense() + torch.diag(12 * w**2)
    assert relative(operator.to_dense(), expected) < 1e-14
    torch.testing.assert_close(operator.gradient, plain.gradient + 4 * w**3)
    assert operator.facts == {"psd"}


def test_a_subset_is_a_block_of_the_whole():
    model, loss, data = mlp()
    whole = GaussNewton.of_model(model, loss, data)
    part = GaussNewton.of_model(model, loss, data, params=["2.weight"])
    rows = slice(4 * 5 + 5, 4 * 5 + 5 + 5 * 3)
    assert relative(part.to_dense(), whole.to_dense()[rows, rows]) < 1e-14


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_losses_own_reduction_is_read(reduction):
    model, _, data = mlp()
    operator = GaussNewton.of_model(model, nn.CrossEntropyLoss(reduction=reduction), data)
    mean = GaussNewton.of_model(model, F.cross_entropy, data)
    factor = sum(SIZES) if reduction == "sum" else 1
    assert relative(operator.to_dense(), factor * mean.to_dense()) < 1e-14


NON_NEGATIVE = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
LOSSES = {
    "cross entropy": (F.cross_entropy, True),
    "a module": (nn.CrossEntropyLoss(label_smoothing=0.1), True),
    "weights": (nn.CrossEntropyLoss(weight=NON_NEGATIVE), True),
    "a partial": (partial(F.cross_entropy, weight=NON_NEGATIVE), True),
    "negative weights": (partial(F.cross_entropy, weight=NON_NEGATIVE - 0.1), False),
    "a function of one's own": (lambda out, y: F.cross_entropy(out, y), False),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_claims_to_be_psd_only_where_the_loss_is_known_to_be_convex(kind):
    model, _, data = mlp()
    loss, psd = LOSSES[kind]
    operator = GaussNewton.of_model(model, loss, data)
    assert ("psd" in operator.facts) == psd
    if psd:
        assert float(torch.linalg.eigvalsh(operator.to_dense())[0]) > -1e-15


# Targets that are the same in every process: workers must agree about what there is to test.
NUMBERS = torch.linspace(-2, 2, 21, dtype=torch.float64).reshape(7, 3)
CONVEX = {
    nn.MSELoss(): NUMBERS,
    nn.HuberLoss(): NUMBERS,
    nn.SmoothL1Loss(): NUMBERS,
    nn.PoissonNLLLoss(): torch.ones(7, 3, dtype=torch.float64),
    nn.BCEWithLogitsLoss(): torch.ones(7, 3, dtype=torch.float64),
    nn.SoftMarginLoss(): torch.ones(7, 3, dtype=torch.float64),
    nn.MultiLabelSoftMarginLoss(): torch.ones(7, 3, dtype=torch.float64),
}


@pytest.mark.parametrize(("loss", "targets"), CONVEX.items(), ids=map(repr, CONVEX))
def test_the_losses_that_are_called_convex_have_a_psd_hessian(loss, targets):
    z = 3 * normal(7, 3)
    hessian = torch.autograd.functional.hessian(lambda z: loss(z, targets), z).reshape(21, 21)
    assert float(torch.linalg.eigvalsh(hessian)[0]) > -1e-14
    operator = GaussNewton(lambda p: p["z"], lambda out: loss(out, targets), {"z": z})
    assert relative(operator.to_dense(), hessian) < 1e-12
    model = nn.Linear(2, 3).double()
    assert GaussNewton.of_model(model, loss, (normal(7, 2), targets)).facts == {"psd"}


def test_the_user_may_vouch_for_convexity():
    model, _, data = mlp()
    loss = lambda out, y: F.cross_entropy(out, y)
    assert GaussNewton.of_model(model, loss, data, convex=True).facts == {"psd"}
    assert GaussNewton.of_model(model, F.cross_entropy, data, convex=False).facts == frozenset()


def test_a_loss_may_work_in_place():
    model, x, y = nn.Linear(3, 2).double(), normal(4, 3), normal(4, 2)
    operator = GaussNewton.of_model(model, lambda out, y: out.sub_(y).square().mean(), (x, y))
    expected = GaussNewton.of_model(model, F.mse_loss, (x, y))
    assert relative(operator.to_dense(), expected.to_dense()) < 1e-14


def test_stays_where_it_was_taken():
    model, loss, data = mlp()
    operator = GaussNewton.of_model(model, loss, data, memory=0)
    before = operator.to_dense()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    assert torch.equal(operator.to_dense(), before)
    assert all(p.grad is None for p in model.parameters())


def test_evaluates_model_and_loss_once():
    calls = []
    x = normal(4, 3)
    operator = GaussNewton(
        lambda p: calls.append("model") or x @ p["w"],
        lambda out: calls.append("loss") or out.pow(4).mean(),
        {"w": normal(3, 2)},
    )
    operator.to_dense()
    operator @ operator.gradient
    assert calls == ["model", "loss"]


def test_the_loss_and_the_gradient_elsewhere():
    model, loss, data = mlp()
    operator = GaussNewton.of_model(model, loss, data)
    by = 0.1 * torch.ones(operator.size, dtype=operator.dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1)
    there = GaussNewton.of_model(model, loss, data)
    assert operator.loss_at(by) == pytest.approx(there.loss, rel=1e-13)
    torch.testing.assert_close(operator.gradient_at(by), there.gradient)
    torch.testing.assert_close(operator.place + by, there.place)


def test_single_precision():
    model, loss, data = mlp()
    exact = GaussNewton.of_model(model, loss, data).to_dense()
    single = [(x.float(), y) for x, y in data]
    operator = GaussNewton.of_model(model.float(), loss, single)
    assert operator.dtype == torch.float32
    assert relative(operator.to_dense().double(), exact) < 1e-6


def test_mixed_precision_parameters_share_the_widest():
    params = {"a": torch.ones(2, dtype=torch.float32), "b": torch.ones((), dtype=torch.float64)}
    operator = GaussNewton(lambda p: p["a"].double() * p["b"], lambda z: z.square().sum(), params)
    assert operator.dtype == torch.float64
    assert operator.to_dense().tolist() == [[2, 0, 2], [0, 2, 2], [2, 2, 4]]


def test_close_frees_and_refuses():
    model, loss, data = mlp()
    with GaussNewton.of_model(model, loss, data[0]) as operator:
        assert operator.held > 0
    assert operator.held == 0
    v = torch.ones(operator.size, dtype=operator.dtype)
    for call in (lambda: operator @ v, lambda: operator.place, lambda: operator.loss_at(v)):
        with pytest.raises(RuntimeError, match="after close"):
            call()
    assert operator.loss > 0


W = {"w": torch.ones(3)}
REFUSALS = {
    "not a tensor": (lambda p: p["w"], lambda z: 1.0, TypeError, r"returned a float.*\.item"),
    "not a scalar": (lambda p: p["w"], lambda z: z, ValueError, r"shape \(3,\).*mean"),
    "nan": (lambda p: p["w"], lambda z: z.sum() * float("nan"), ValueError, "is nan"),
    "output nan": (lambda p: p["w"] / 0, lambda z: z.sum(), ValueError, "output is not finite"),
    "complex": (lambda p: p["w"] + 1j, lambda z: z.abs().sum(), ValueError, "complex64"),
    "no gradient": (lambda p: p["w"], lambda z: z.detach().sum(), ValueError, "not depend on the"),
    "other parameters": (
        lambda p: torch.ones(1),
        lambda z: z.sum(),
        ValueError,
        "functional_call",
    ),
    "linear": (lambda p: p["w"].exp(), lambda z: z.sum(), ValueError, "matrix is zero"),
}


@pytest.mark.parametrize(("output", "loss", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(output, loss, error, says):
    with pytest.raises(error, match=says):
        GaussNewton(output, loss, W)


@pytest.mark.parametrize("loss", [F.nll_loss, nn.L1Loss(), partial(F.kl_div, log_target=True)])
def test_a_loss_without_curvature_in_the_output_is_refused_with_advice(loss):
    model, _, data = mlp()
    with pytest.raises(ValueError, match=r"linear in the model's output.*cross_entropy"):
        GaussNewton.of_model(model, loss, data)


def test_a_sparse_gradient_is_refused():
    with pytest.raises(ValueError, match=r"params\['w'\] has a sparse gradient.*sparse=False"):
        GaussNewton(
            lambda p: F.embedding(torch.tensor([0]), p["w"], sparse=True),
            lambda z: z.square().sum(),
            {"w": torch.ones(2, 2)},
        )


def test_an_operation_without_second_derivative_is_explained():
    bags = torch.tensor([[0, 1], [1, 1]])
    with pytest.raises(NotImplementedError, match=r"GaussNewton: .*no second derivative"):
        GaussNewton(
            lambda p: F.embedding_bag(bags, p["w"]),
            lambda z: z.square().sum(),
            {"w": torch.ones(2, 2)},
        ).to_dense()


def test_an_output_may_be_a_number_that_enters_the_loss_linearly():
    w = normal(3)
    matrix = GaussNewton(
        lambda p: (2 * p["w"], p["w"].square().sum()),
        lambda outputs: outputs[0].square().sum() + outputs[1],
        {"w": w},
    ).to_dense()
    assert relative(matrix, 8 * torch.eye(3, dtype=w.dtype)) < 1e-14
