"""Every parameter has a block: factored where it is a layer's, exact wherever else it is used."""

import pytest
import torch
from kronecker_references import (
    block_of,
    close,
    dense_block,
    dense_gauss_newton,
    factors_by_loops,
    kronecker_of,
)
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from thalweg.operators import Kronecker, evaluation


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def cross_entropy_of_positions(output, targets):
    return F.cross_entropy(output.mT, targets)


class Odd(nn.Module):
    """Parameters in every way that is no layer, beside layers."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(4, 3))
        self.gain = nn.Parameter(torch.randn(3))
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.recurrent = nn.LSTM(3, 2, batch_first=True)
        self.turned = nn.ConvTranspose1d(2, 3, 2)
        self.both = nn.Linear(3, 3)

    def forward(self, x):
        x = self.both(self.first(x + self.place) * self.gain) @ self.both.weight
        x = self.recurrent(torch.tanh(x) + self.second(self.place))[0]
        return self.turned(x.mT).mean(2)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3, padding_idx=0)
        self.norm = nn.LayerNorm(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(torch.tanh(self.norm(self.embedding(x))))


class WeightNormed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))

    def forward(self, x):
        return self.layer(x)


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2, 4, 2),
            nn.BatchNorm1d(4),
            nn.GroupNorm(2, 4),
            nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
            nn.Tanh(),
            nn.LayerNorm((4, 5)),
            nn.RMSNorm(5),
            nn.Flatten(),
            nn.Linear(20, 2),
        )

    def forward(self, x):
        return self.layers(x)


class SharedBias(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.bias = self.first.bias

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


OTHERS = {
    "odd": (
        Odd,
        lambda: (torch.randn(3, 4, 3), torch.randn(3, 3)),
        F.mse_loss,
        {"place", "gain", "both.weight", "second.weight", "second.bias", "turned.weight",
         "turned.bias", "recurrent.weight_ih_l0", "recurrent.weight_hh_l0",
         "recurrent.bias_ih_l0", "recurrent.bias_hh_l0"},
    ),
    "tied": (
        Tied,
        lambda: (torch.randint(5, (3, 4)), torch.randint(5, (3, 4))),
        cross_entropy_of_positions,
        set(),
    ),
    "weight norm": (
        WeightNormed,
        lambda: (torch.randn(4, 3), torch.randn(4, 2)),
        F.mse_loss,
        {"layer.parametrizations.weight.original0", "layer.parametrizations.weight.original1"},
    ),
    "norms in eval mode": (
        lambda: Norms().eval(),
        lambda: (torch.randn(4, 2, 6), torch.randn(4, 2)),
        F.mse_loss,
        set(),
    ),
    "shared bias": (
        SharedBias,
        lambda: (torch.randn(4, 3), torch.randn(4, 3)),
        F.mse_loss,
        set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("full", [1000, 0])
@pytest.mark.parametrize("case", OTHERS)
def test_other_parameters_have_their_exact_blocks(case, full):
    make, data, loss, uncovered = OTHERS[case]
    model, (inputs, targets) = make(), data()
    operator = Kronecker.of_model(model, loss, (inputs, targets), full=full)
    assert set(operator.uncovered) == uncovered
    exact = dense_gauss_newton(model, loss, inputs, targets)
    seen = 0
    for block in operator._blocks:
        if block.form == "Kronecker":
            continue
        seen += 1
        expected, actual = block_of(exact, block.names), dense_block(operator, block.names)
        assert block.form == ("full" if full else "diagonal")
        scale = max(float(part.abs().max()) for part in exact.values())
        close(actual, expected if full else expected.diagonal().diag(), 1e-14, scale)
    assert seen


def test_large_parameters_are_taken_a_sample_at_a_time(monkeypatch):
    model, batch = Tied(), (torch.randint(5, (3, 4)), torch.randint(5, (3, 4)))
    whole = Kronecker.of_model(model, cross_entropy_of_positions, batch)
    monkeypatch.setattr(evaluation, "LARGEST_AT_ONCE", 1)
    parts = Kronecker.of_model(model, cross_entropy_of_positions, batch)
    close(parts.to_dense(), whole.to_dense())


def test_every_parameter_has_one_block():
    model = Odd()
    operator = Kronecker.of_model(model, F.mse_loss, (torch.randn(3, 4, 3), torch.randn(3, 3)))
    names = [name for block in operator._blocks for name in block.names]
    assert sorted(names) == sorted(dict(model.named_parameters()))
    assert set(operator.structure) == set(names)


def test_layers_whose_samples_are_coupled_otherwise_are_uncovered():
    class Running(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return torch.tanh(self.layer(x)).cumsum(0)

    model, inputs, targets = Running(), torch.randn(2, 3), torch.randn(2, 2)
    operator = Kronecker.of_model(model, F.mse_loss, (inputs, targets))
    assert operator.uncovered == ("layer.weight", "layer.bias")
    exact = dense_gauss_newton(model, F.mse_loss, inputs, targets)
    for name in operator.uncovered:
        close(dense_block(operator, [name]), exact[name, name])


def test_sparse_gradients_and_checkpoints_are_layers_like_others():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 3, sparse=True)
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            x = self.embedding(x)
            x = checkpoint(lambda x: self.first(x).relu_(), x, use_reentrant=False)
            return self.last(x)

    data = (torch.randint(5, (6,)), torch.randn(6, 2))
    operator = Kronecker.of_model(Checkpointed(), F.mse_loss, data)
    assert operator.uncovered == ()
    assert set(operator.structure.values()) == {"Kronecker"}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_off_around_it(mode):
    model, data = nn.Linear(3, 2), (torch.randn(4, 3), torch.randn(4, 2))
    expected = Kronecker.of_model(model, F.mse_loss, data).to_dense()
    with mode():
        found = Kronecker.of_model(model, F.mse_loss, data).to_dense()
    assert torch.equal(found, expected)


def test_batch_statistics_do_not_make_layers_uncovered():
    model, data = Norms().train(), (torch.randn(4, 2, 6), torch.randn(4, 2))
    operator = Kronecker.of_model(model, F.mse_loss, data)
    assert operator.uncovered == ()
    assert operator.structure["layers.0.weight"] == "Kronecker"


def test_attention_projections_are_linear_layers():
    # Four samples of four positions: attention puts positions first, so shapes alone do not tell.
    model = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
    inputs, targets = torch.randn(4, 4, 4), torch.randn(4, 4, 4)
    operator = Kronecker.of_model(model, F.mse_loss, (inputs, targets))
    assert operator.uncovered == ()
    factored = {name for name, form in operator.structure.items() if form == "Kronecker"}
    assert {"self_attn.in_proj_weight", "self_attn.out_proj.weight"} <= factored
    for layer in ("linear1", "linear2"):
        names = [f"{layer}.weight", f"{layer}.bias"]
        factors = factors_by_loops(model, layer, F.mse_loss, inputs, targets)
        expected = kronecker_of(*factors, getattr(model, layer).weight)
        close(dense_block(operator, names), expected, 1e-10)


def test_layers_under_autocast_are_layers_like_others():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows, self.norm = nn.Embedding(6, 8), nn.LayerNorm(8)
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16, enabled=not self.training):
                return self.last(torch.relu(self.first(self.norm(self.rows(x))))).float()

    model = Half().float()
    data = (torch.randint(6, (32,)), torch.randint(3, (32,)))
    whole = Kronecker.of_model(model, F.cross_entropy, data)
    half = Kronecker.of_model(model.eval(), F.cross_entropy, data)
    assert half.uncovered == ()
    assert half.structure == whole.structure
    assert (half.to_dense() - whole.to_dense()).norm() < 0.05 * whole.to_dense().norm()
