"""Corrected eigenvalues against the exact blocks in the eigenbasis of factors made by loops."""

import pytest
import torch
from kronecker_references import (
    block_of,
    close,
    dense_block,
    dense_gauss_newton,
    factors_by_loops,
    parameters,
)
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from thalweg.operators import EigenvalueCorrected, Kronecker
from thalweg.operators import eigenvalue_correction as correction
from thalweg.operators.evaluation import Piece, Settings


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def cross_entropy_of_positions(output, targets):
    return F.cross_entropy(output.mT, targets)


MODELS = {
    "linear": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
        lambda: (torch.randn(6, 3), torch.randint(3, (6,))),
        F.cross_entropy,
    ),
    "positions": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
        lambda: (torch.randn(4, 5, 3), torch.randint(3, (4, 5))),
        cross_entropy_of_positions,
    ),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(15, 2)),
        lambda: (torch.randint(4, (6, 5)), torch.randn(6, 2)),
        F.mse_loss,
    ),
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2)),
        lambda: (torch.randn(5, 1, 3, 3), torch.randn(5, 2)),
        F.mse_loss,
    ),
    "attention": (
        lambda: nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True),
        lambda: (torch.randn(4, 4, 4), torch.randn(4, 4, 4)),
        F.mse_loss,
    ),
    "positions first inside": (
        lambda: Turned(),
        lambda: (torch.randn(3, 4, 2), torch.randn(3, 2)),
        F.mse_loss,
    ),
}


class Turned(nn.Module):
    """(N, T, d) handled as (T, N, d), and as (T N, d)."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        x = torch.tanh(self.first(x.transpose(0, 1)))
        x = torch.tanh(self.second(x.reshape(-1, 3))).reshape(x.shape)
        return self.last(x.mean(0))


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("model", MODELS)
def test_trace_is_exact_and_no_block_is_farther_than_the_factors_product(model, sharing):
    make, data, loss = MODELS[model]
    net, (inputs, targets) = make(), data()
    exact = dense_gauss_newton(net, loss, inputs, targets)
    of = {
        kind: kind.of_model(net, loss, (inputs, targets), sharing=sharing)
        for kind in (Kronecker, EigenvalueCorrected)
    }
    strict = 0
    for block in of[Kronecker]._blocks:
        expected = block_of(exact, block.names)
        plain, corrected = (dense_block(operator, block.names) for operator in of.values())
        close(corrected.trace(), expected.trace())
        errors = [(b - expected).norm() for b in (plain, corrected)]
        assert errors[1] <= errors[0] * (1 + 1e-10) + 1e-14
        strict += int(errors[1] < 0.99 * errors[0])
    assert strict


@pytest.mark.parametrize("model", ["linear", "positions", "convolution"])
def test_eigenvalues_are_the_exact_blocks_diagonal_in_the_factors_basis(model):
    make, data, loss = MODELS[model]
    net, (inputs, targets) = make(), data()
    patches = (lambda a: F.unfold(a, 2)[0].T) if model == "convolution" else None
    factors = factors_by_loops(net, "0", loss, inputs, targets, patches=patches)
    basis = torch.kron(*(torch.linalg.eigh(factor).eigenvectors for factor in factors))
    # Weight, then bias: the order of the operator's rows.
    p, q = (len(factor) for factor in factors)
    order = torch.arange(p * q).reshape(p, q)
    basis = basis[torch.cat([order[:, :-1].reshape(-1), order[:, -1]])]
    names = ["0.weight", "0.bias"]
    exact = block_of(dense_gauss_newton(net, loss, inputs, targets), names)
    expected = basis @ (basis.T @ exact @ basis).diagonal().diag() @ basis.T
    operator = EigenvalueCorrected.of_model(net, loss, (inputs, targets))
    close(dense_block(operator, names), expected, 1e-10)


def test_rows_of_an_embedding_have_exact_diagonals_in_their_basis():
    make, data, loss = MODELS["embedding"]
    net, (inputs, targets) = make(), data()
    exact = dense_gauss_newton(net, loss, inputs, targets)["0.weight", "0.weight"]
    operator = EigenvalueCorrected.of_model(net, loss, (inputs, targets))
    block = next(b for b in operator._blocks if b.names == ("0.weight",))
    right = torch.linalg.eigh(block.right[0]).eigenvectors.contiguous()
    basis = torch.kron(torch.eye(4), right)
    expected = basis @ (basis.T @ exact @ basis).diagonal().diag() @ basis.T
    close(dense_block(operator, ["0.weight"]), expected, 1e-11)


@pytest.mark.parametrize("kind", ["monte-carlo", "empirical"])
def test_corrections_take_the_columns_of_the_factors(kind):
    # One position a sample and one layer: the diagonal of sum u u' (x) a a' in the factors' basis.
    net, inputs, targets = nn.Linear(3, 2, bias=False), torch.randn(6, 3), torch.randn(6, 2)
    options = {"kind": kind, "seed": 3}
    plain = Kronecker.of_model(net, F.mse_loss, (inputs, targets), **options)
    corrected = EigenvalueCorrected.of_model(net, F.mse_loss, (inputs, targets), **options)
    left = torch.linalg.eigh(plain._blocks[0].left[0])
    right = torch.linalg.eigh(inputs.T @ inputs / 6)
    if kind == "empirical":
        g = (2 / 2) * (net(inputs) - targets).detach() / 6**0.5
    else:
        signs = torch.randint(0, 2, (6, 2, 1), generator=torch.Generator().manual_seed(3))
        g = (signs.squeeze(-1) * 2.0 - 1) / 6**0.5
    close(plain._blocks[0].left[0], g.T @ g)
    squares = (g @ left.eigenvectors).square().T @ (inputs @ right.eigenvectors).square()
    basis = torch.kron(left.eigenvectors, right.eigenvectors)
    close(corrected.to_dense(), basis @ squares.reshape(-1).diag() @ basis.T)


def test_batches_add_up():
    make, data, loss = MODELS["positions"]
    net, (inputs, targets) = make(), data()
    parts = [(inputs[:3], targets[:3]), (inputs[3:], targets[3:])]
    whole = EigenvalueCorrected.of_model(net, loss, (inputs, targets))
    close(EigenvalueCorrected.of_model(net, loss, parts).to_dense(), whole.to_dense(), 1e-10)


def test_samples_taken_in_pieces_give_the_same(monkeypatch):
    make, data, loss = MODELS["positions"]
    net, batch = make(), data()
    whole = EigenvalueCorrected.of_model(net, loss, batch).to_dense()
    monkeypatch.setattr(correction, "LARGEST_AT_ONCE", 1)
    close(EigenvalueCorrected.of_model(net, loss, batch).to_dense(), whole)


def of_batch(net, loss, batch, basis=None):
    """An operator of one batch of samples, in a basis of another."""
    params, settings = parameters(net), Settings()
    pieces = [Piece(lambda p: functional_call(net, p, batch[0]), lambda z: loss(z, batch[1]))]
    return EigenvalueCorrected.in_basis_of(basis, pieces, params, settings)


def basis_of_product(left, right):
    """Eigenvectors of left (x) right, the weight's rows before the bias's."""
    basis = torch.kron(*(torch.linalg.eigh(factor).eigenvectors for factor in (left, right)))
    order = torch.arange(len(basis)).reshape(len(left), len(right))
    return basis[torch.cat([order[:, :-1].reshape(-1), order[:, -1]])]


def diagonal_in(basis, matrix):
    return basis @ (basis.T @ matrix @ basis).diagonal().diag() @ basis.T


def test_averages_keep_a_basis_until_they_are_refreshed():
    make, data, loss = MODELS["positions"]
    net, batches, names = make(), [data() for _ in range(3)], ["2.weight", "2.bias"]
    exact = [block_of(dense_gauss_newton(net, loss, *batch), names) for batch in batches]
    factors = [factors_by_loops(net, "2", loss, *batch) for batch in batches]
    average, mean, sums = of_batch(net, loss, batches[0]), exact[0], factors[0]
    basis = basis_of_product(*sums)
    for number in (1, 2):
        newer = of_batch(net, loss, batches[number], average)
        close(dense_block(newer, names), diagonal_in(basis, exact[number]), 1e-9)
        average = average.averaged(newer, 0.7)
        mean = 0.7 * mean + 0.3 * exact[number]
        sums = [0.7 * a + 0.3 * b for a, b in zip(sums, factors[number], strict=True)]
        close(dense_block(average, names), diagonal_in(basis, mean), 1e-9)
    turned = average.refreshed()
    kept = diagonal_in(basis, mean)
    close(dense_block(turned, names), diagonal_in(basis_of_product(*sums), kept), 1e-9)
    assert turned.trace() == pytest.approx(average.trace(), rel=1e-12)
    assert (dense_block(turned, names) - kept).norm() > 1e-3 * kept.norm()


def test_rows_of_an_embedding_are_refreshed_too():
    make, data, loss = MODELS["embedding"]
    net, batches = make(), [data(), data()]
    first = of_batch(net, loss, batches[0])
    average = first.averaged(of_batch(net, loss, batches[1], first), 0.5)
    block = next(b for b in average._blocks if b.names == ("0.weight",))
    basis = torch.kron(torch.eye(4), torch.linalg.eigh(block.right[0]).eigenvectors.contiguous())
    expected = diagonal_in(basis, dense_block(average, ["0.weight"]))
    close(dense_block(average.refreshed(), ["0.weight"]), expected, 1e-11)


def test_eigenvalues_of_different_bases_have_no_average():
    make, data, loss = MODELS["linear"]
    net = make()
    first, second = (of_batch(net, loss, data()) for _ in range(2))
    with pytest.raises(ValueError, match="different bases"):
        first.averaged(second, 0.5)
    with pytest.raises(ValueError, match=r"no Kronecker factors for 0.weight, 0.bias"):
        of_batch(net, loss, data(), Kronecker.of_model(nn.Linear(2, 2), F.mse_loss, of_two()))


def of_two():
    return torch.randn(3, 2), torch.randn(3, 2)
