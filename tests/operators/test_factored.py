"""What can be asked of a block-diagonal operator, against the matrix written down."""

import math

import pytest
import torch
from kronecker_references import close, dense_block
from torch import nn
from torch.nn import functional as F

from thalweg.operators import EigenvalueCorrected, Kronecker


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Mixed(nn.Module):
    """Blocks of every form: factored with and without groups, an embedding, full, diagonal."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        self.conv = nn.Conv1d(4, 4, 2, groups=2)
        self.norm = nn.LayerNorm(4)
        self.gain = nn.Parameter(torch.randn(10))
        self.head = nn.Linear(4, 3)
        self.unused = nn.Parameter(torch.randn(2))

    def forward(self, x):
        x = torch.tanh(self.conv(self.embedding(x).mT)).mT
        return self.head(self.norm(x).sum(1) * self.gain[:4])


def operators(**options):
    inputs, targets = torch.randint(4, (9, 5)), torch.randint(3, (9,))
    torch.manual_seed(1)
    model = Mixed()
    return {
        of.name: of.of_model(model, F.cross_entropy, (inputs, targets), full=8, **options)
        for of in (Kronecker, EigenvalueCorrected)
    }


@pytest.fixture(params=["Kronecker", "EigenvalueCorrected"])
def operator(request):
    return operators()[request.param]


def test_forms(operator):
    assert set(operator.structure.values()) == {"Kronecker", "full", "diagonal"}
    assert operator.structure["norm.weight"] == "full"
    assert operator.structure["gain"] == "diagonal"
    assert operator.uncovered == ("gain",)
    assert f"{operator.size} x {operator.size}" in repr(operator)


def test_is_symmetric_and_positive_semidefinite(operator):
    dense = operator.to_dense()
    close(dense, dense.T)
    assert operator.facts == {"psd"}
    assert float(torch.linalg.eigvalsh(dense).min()) > -1e-14


def test_products_of_several_vectors_are_those_of_each(operator):
    vectors = torch.randn(operator.size, 3)
    close(operator @ vectors, torch.stack([operator @ v for v in vectors.unbind(1)], 1))
    assert (operator @ vectors[:, :0]).shape == (operator.size, 0)


def test_diagonal_trace_eigenvalues_and_determinant(operator):
    dense = operator.to_dense()
    close(operator.exact_diagonal(), dense.diagonal())
    assert operator.trace() == pytest.approx(float(dense.trace()), rel=1e-13)
    close(operator.eigenvalues(), torch.linalg.eigvalsh(dense))
    damped = dense + 0.01 * torch.eye(operator.size)
    assert operator.logdet(0.01) == pytest.approx(float(damped.logdet()), rel=1e-12)
    assert operator.logdet() == -math.inf


def test_inverse_times_operator_is_the_identity(operator):
    damped = operator.to_dense() + 0.01 * torch.eye(operator.size)
    inverse = operator.inverse(0.01)
    close(inverse.to_dense() @ damped, torch.eye(operator.size))
    close(inverse.exact_diagonal(), torch.linalg.inv(damped).diagonal())
    assert inverse.trace() == pytest.approx(float(torch.linalg.inv(damped).trace()), rel=1e-12)
    assert inverse.facts == {"psd"}
    vectors = torch.randn(operator.size, 2)
    close(operator.solve(vectors, 0.01), torch.linalg.solve(damped, vectors), 1e-11)
    close(operator.solve(vectors[:, 0], 0.01), torch.linalg.solve(damped, vectors[:, 0]), 1e-11)


def test_damping_that_is_split_between_the_factors():
    operator, damping = operators()["Kronecker"], 0.02
    inverse = operator.inverse(damping, split="factored").to_dense()
    block = next(b for b in operator._blocks if b.names[0] == "head.weight")
    left, right = block.left[0], block.right[0]
    pi = ((right.trace() / len(right)) / (left.trace() / len(left))) ** 0.5
    damped = torch.kron(
        left + damping**0.5 / pi * torch.eye(3), right + pi * damping**0.5 * torch.eye(5)
    )
    order = torch.arange(15).reshape(3, 5)
    order = torch.cat([order[:, :-1].reshape(-1), order[:, -1]])
    names = ["head.weight", "head.bias"]
    expected = torch.linalg.inv(damped)[order][:, order]
    close(taken(operator, inverse, names), expected)
    # Blocks without two factors, and corrected eigenvalues, have the damping added.
    plain = operator.inverse(damping).to_dense()
    others = ["norm.weight", "norm.bias", "gain", "unused"]
    close(taken(operator, inverse, others), taken(operator, plain, others))
    corrected = operators()["EigenvalueCorrected"]
    close(
        corrected.inverse(damping, split="factored").to_dense(),
        corrected.inverse(damping).to_dense(),
    )


def taken(operator, matrix, names):
    layout = operator.layout
    ends = torch.tensor([shape.numel() for shape in layout.shapes]).cumsum(0).tolist()
    places = dict(zip(layout.names, zip([0, *ends], ends, strict=False), strict=True))
    index = torch.cat([torch.arange(*places[name]) for name in names])
    return matrix[index][:, index]


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30])
def test_singular_factors_of_any_size_have_damped_inverses(scale):
    # Dead inputs, repeated inputs and a single sample: what Cholesky factorizations fail on.
    x = torch.zeros(1, 50)
    x[0, :2] = scale**0.5
    operator = Kronecker.of_model(
        nn.Linear(50, 20), lambda z, y: z.square().sum(), (x, torch.zeros(1, 20)), check=False
    )
    inverse = operator.inverse(1e-3 * max(scale, 1.0))
    assert torch.isfinite(inverse @ torch.randn(operator.size)).all()


def test_a_layer_without_inputs_splits_its_damping_evenly():
    data = (torch.zeros(4, 3), torch.randn(4, 2))
    operator = Kronecker.of_model(nn.Linear(3, 2, bias=False), F.mse_loss, data)
    inverse = operator.inverse(0.25, split="factored").to_dense()
    # (I + 0.5 I) (x) (0 + 0.5 I), inverted; the loss is a mean over two outputs.
    close(inverse, torch.eye(6) / (1.5 * 0.5))


def test_zero_damping_needs_a_regular_matrix(operator):
    with pytest.raises(ValueError, match="singular to rounding"):
        operator.inverse(0.0)
    x = torch.randn(20, 1).repeat(1, 2) * torch.tensor([1.0, 0.3])
    repeated = Kronecker.of_model(nn.Linear(2, 2), F.mse_loss, (x, torch.randn(20, 2)))
    with pytest.raises(ValueError, match="singular to rounding"):
        repeated.inverse(0.0)
    x = torch.randn(20, 2)
    regular = Kronecker.of_model(nn.Linear(2, 2), F.mse_loss, (x, torch.randn(20, 2)))
    close(regular.inverse(0.0).to_dense() @ regular.to_dense(), torch.eye(6), 1e-11)


@pytest.mark.parametrize("damping", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize("call", ["inverse", "logdet"])
def test_refuses_dampings(operator, call, damping):
    with pytest.raises(ValueError, match=f"{call}\\(damping="):
        getattr(operator, call)(damping)


def test_refuses_an_unknown_split(operator):
    with pytest.raises(ValueError, match="split='half'"):
        operator.inverse(1.0, split="half")


def test_closing_frees_the_factors(operator):
    inverse, gradient = operator.inverse(1.0), operator.gradient.clone()
    assert operator.held > 0
    with operator:
        pass
    assert operator.held == 0
    with pytest.raises(RuntimeError, match="after close"):
        operator @ gradient
    assert torch.equal(operator.gradient, gradient)
    assert torch.isfinite(inverse @ gradient).all()


def test_parameters_of_two_precisions():
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    params = {"w": torch.randn(2, 3), "c": torch.randn(2).float()}
    operator = Kronecker(lambda p: F.linear(x, p["w"]) * p["c"], lambda z: F.mse_loss(z, y), params)
    assert operator.dtype == torch.float64
    assert {b.names[0]: b.dtype for b in operator._blocks} == {
        "w": torch.float64, "c": torch.float32
    }  # fmt: skip
    close(operator.exact_diagonal(), operator.to_dense().diagonal(), 1e-7)


def test_running_averages():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 2))
    made = [
        Kronecker.of_model(model, F.mse_loss, (torch.randn(5, 3), torch.randn(5, 2)))
        for _ in range(2)
    ]
    mixed = made[0].averaged(made[1], 0.9)
    for name in ("left", "right"):
        old, new, average = (getattr(one._blocks[0], name) for one in (*made, mixed))
        close(average, 0.9 * old + 0.1 * new)
    old, new, average = (dense_block(one, ["2.weight", "2.bias"]) for one in (*made, mixed))
    close(average, 0.9 * old + 0.1 * new)
    assert torch.equal(mixed.gradient, made[1].gradient)
    # The eigenvectors belong to the averages, not to what they were made of.
    product = mixed.inverse(0.1).to_dense() @ (mixed.to_dense() + 0.1 * torch.eye(mixed.size))
    close(product, torch.eye(mixed.size))
    with pytest.raises(ValueError, match="decay=2"):
        made[0].averaged(made[1], 2)
    other = Kronecker.of_model(nn.Linear(3, 2), F.mse_loss, (torch.randn(5, 3), torch.randn(5, 2)))
    with pytest.raises(ValueError, match="different blocks"):
        made[0].averaged(other, 0.5)
