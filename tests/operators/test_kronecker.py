"""Kronecker factors against loops over samples, and against exact blocks where they are exact."""

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
from torch.utils.data import DataLoader, TensorDataset

from thalweg.operators import Kronecker


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def cross_entropy_of_positions(output, targets):
    return F.cross_entropy(output.mT, targets)


class MeanOverPositions(nn.Module):
    def forward(self, x):
        return x.mean(1)


class MeanOverPixels(nn.Module):
    def forward(self, x):
        return x.flatten(2).mean(2)


FACTORED = {
    "linear": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
        lambda: (torch.randn(6, 3), torch.randint(3, (6,))),
        F.cross_entropy,
        {"0": None, "2": None},
    ),
    "without bias": (
        lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.Sigmoid(), nn.Linear(4, 2)),
        lambda: (torch.randn(5, 3), torch.rand(5, 2)),
        F.binary_cross_entropy_with_logits,
        {"0": None, "2": None},
    ),
    "positions": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
        lambda: (torch.randn(4, 5, 3), torch.randint(3, (4, 5))),
        cross_entropy_of_positions,
        {"0": None, "2": None},
    ),
    "as many positions as samples": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 2)),
        lambda: (torch.randn(4, 4, 3), torch.randn(4, 2)),
        F.mse_loss,
        {"0": None, "3": None},
    ),
    "conv1d": (
        lambda: nn.Sequential(nn.Conv1d(2, 3, 3, stride=2), nn.Tanh(), nn.Flatten()),
        lambda: (torch.randn(4, 2, 8), torch.randn(4, 9)),
        F.mse_loss,
        {"0": lambda a: a.unfold(2, 3, 2)[0].movedim(1, 0).reshape(3, -1)},
    ),
    "conv2d": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(27, 2),
        ),
        lambda: (torch.randn(4, 2, 5, 5), torch.randn(4, 2)),
        F.mse_loss,
        {
            "0": lambda a: F.unfold(a, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))[0].T,
            "3": None,
        },
    ),
    "conv2d, same": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, (2, 3), padding="same"), nn.GELU(), nn.Flatten()),
        lambda: (torch.randn(3, 1, 3, 3), torch.randn(3, 18)),
        F.mse_loss,
        {"0": lambda a: F.unfold(F.pad(a, (1, 1, 0, 1)), (2, 3))[0].T},
    ),
    "conv3d": (
        lambda: nn.Sequential(nn.Conv3d(1, 2, 2), nn.Tanh(), nn.Flatten()),
        lambda: (torch.randn(3, 1, 3, 2, 2), torch.randn(3, 4)),
        F.mse_loss,
        {"0": lambda a: torch.stack([a[0, 0, i : i + 2].reshape(-1) for i in range(2)])},
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("case", FACTORED)
def test_factors_are_those_of_loops_over_samples(case, sharing):
    make, data, loss, layers = FACTORED[case]
    model, (inputs, targets) = make(), data()
    operator = Kronecker.of_model(model, loss, (inputs, targets), sharing=sharing)
    for layer, patches in layers.items():
        names = [name for name in operator.layout.names if name.startswith(layer + ".")]
        factors = factors_by_loops(
            model, layer, loss, inputs, targets, reduce=sharing == "reduce", patches=patches
        )
        expected = kronecker_of(*factors, dict(model.named_parameters())[names[0]])
        close(dense_block(operator, names), expected, 1e-10)


def deep_linear():
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3, bias=False), nn.Linear(3, 2))


EXACT = {
    # The derivatives do not depend on the sample, so they are independent of the inputs.
    "deep linear, squared error": (
        deep_linear,
        lambda: (torch.randn(7, 3), torch.randn(7, 2)),
        F.mse_loss,
        "expand",
    ),
    "deep linear, each position in the loss": (
        deep_linear,
        lambda: (torch.randn(5, 4, 3), torch.randn(5, 4, 2)),
        F.mse_loss,
        "expand",
    ),
    "deep linear, positions averaged": (
        lambda: nn.Sequential(*deep_linear(), MeanOverPositions()),
        lambda: (torch.randn(5, 4, 3), torch.randn(5, 2)),
        F.mse_loss,
        "reduce",
    ),
    "convolution, pixels averaged": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), MeanOverPixels()),
        lambda: (torch.randn(5, 2, 4, 4), torch.randn(5, 3)),
        F.mse_loss,
        "reduce",
    ),
    "one sample": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
        lambda: (torch.randn(1, 3), torch.randint(3, (1,))),
        F.cross_entropy,
        "expand",
    ),
    # A row of an embedding that each sample looks up once.
    "embedding, one sample": (
        lambda: nn.Sequential(nn.Embedding(5, 3), nn.Tanh(), nn.Linear(3, 3)),
        lambda: (torch.randint(5, (1,)), torch.randint(3, (1,))),
        F.cross_entropy,
        "expand",
    ),
    "depthwise convolution, one pixel, one sample": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.Flatten(), nn.Linear(8, 2)),
        lambda: (torch.randn(1, 4, 3, 3), torch.randn(1, 2)),
        F.mse_loss,
        "groups",
    ),
}


@pytest.mark.parametrize("case", EXACT)
def test_exact_where_theory_says_so(case):
    make, data, loss, sharing = EXACT[case]
    model, (inputs, targets) = make(), data()
    groups = sharing == "groups"
    operator = Kronecker.of_model(
        model, loss, (inputs, targets), sharing="expand" if groups else sharing
    )
    exact = dense_gauss_newton(model, loss, inputs, targets)
    for block in operator._blocks:
        expected, actual = block_of(exact, block.names), dense_block(operator, block.names)
        if groups and block.names[0] == "0.weight":
            # Two outputs a group: blocks between groups are left out.
            group = torch.cat([torch.arange(8).repeat_interleave(9), torch.arange(8)]) // 2
            expected = torch.where(group[:, None] == group[None], expected, 0.0)
        close(actual, expected)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", ["exact", "empirical"])
def test_batches_of_unequal_length_weigh_as_their_samples(kind, reduction):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 3))
    inputs, targets = torch.randn(11, 3), torch.randint(3, (11,))
    loss = nn.CrossEntropyLoss(reduction=reduction)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=4)
    parts = Kronecker.of_model(model, loss, loader, kind=kind)
    whole = Kronecker.of_model(model, loss, (inputs, targets), kind=kind)
    close(parts.to_dense(), whole.to_dense())
    close(parts.gradient, whole.gradient)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-14)


def test_loss_and_gradient_are_the_models():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    inputs, targets = torch.randn(6, 3), torch.randint(3, (6,))
    operator = Kronecker.of_model(model, F.cross_entropy, (inputs, targets))
    loss = F.cross_entropy(model(inputs), targets)
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    assert operator.loss == pytest.approx(float(loss.detach()), rel=1e-15)
    close(operator.gradient, torch.cat([g.reshape(-1) for g in gradient]))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_empirical_blocks_are_second_moments_of_gradients(reduction):
    # With one position a sample, the exact blocks: those of the normalization.
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    inputs, targets = torch.randn(5, 3), torch.randint(3, (5,))
    operator = Kronecker.of_model(
        model, nn.CrossEntropyLoss(reduction=reduction), (inputs, targets), kind="empirical"
    )
    expected = 0
    for n in range(5):
        loss = F.cross_entropy(model(inputs[n : n + 1]), targets[n : n + 1])
        g = torch.cat(torch.autograd.grad(loss, [model[1].weight, model[1].bias]))
        expected = expected + torch.outer(g, g) / (5 if reduction == "mean" else 1)
    close(dense_block(operator, ["1.weight", "1.bias"]), expected)


def test_drawn_columns_have_the_exact_expectation():
    # 40 operators of 50 draws each; the mean of each entry within five of its standard errors.
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 3))
    data = (torch.randn(3, 2), torch.randint(3, (3,)))
    exact = Kronecker.of_model(model, F.cross_entropy, data).to_dense()
    drawn = torch.stack(
        [
            Kronecker.of_model(
                model, F.cross_entropy, data, kind="monte-carlo", draws=50, seed=seed
            ).to_dense()
            for seed in range(40)
        ]
    )
    error, spread = drawn.mean(0) - exact, drawn.std(0) / 40**0.5
    assert float((error.abs() - 5 * spread - 1e-12).max()) <= 0
    assert float(spread.max()) < 0.05 * float(exact.abs().max())


def test_drawn_columns_depend_on_the_seed_alone():
    model, data = nn.Linear(2, 3), (torch.randn(4, 2), torch.randint(3, (4,)))
    make = lambda seed: Kronecker.of_model(
        model, F.cross_entropy, data, kind="monte-carlo", seed=seed
    ).to_dense()
    first = make(0)
    torch.manual_seed(5)
    assert torch.equal(first, make(0))
    assert not torch.equal(first, make(1))


def test_nothing_of_the_model_is_touched():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    inputs, targets = torch.randn(6, 3), torch.randn(6, 2)
    F.mse_loss(model(inputs), targets).backward()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    state, modes = torch.get_rng_state(), [m.training for m in model.modules()]
    for kind in ("exact", "monte-carlo", "empirical"):
        Kronecker.of_model(model, F.mse_loss, (inputs, targets), kind=kind)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Structured(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 2), nn.Linear(2, 2)
        self.unused = nn.Linear(2, 2)

    def forward(self, x, y):
        return {"a": self.left(x), "b": (self.right(y), 3)}


def test_structured_outputs_several_inputs_subsets_and_unused_parameters():
    model, x, y = Structured(), torch.randn(5, 3), torch.randn(5, 2)
    model.left.bias.requires_grad_(False)
    targets = torch.randn(5, 2)

    def loss(output, targets):
        return F.mse_loss(output["a"], targets) + (output["b"][0] ** 2).sum(1).mean()

    operator = Kronecker.of_model(model, loss, ((x, y), targets))
    assert set(operator.layout.names) == {
        "left.weight", "right.weight", "right.bias", "unused.weight", "unused.bias"
    }  # fmt: skip
    assert operator.structure["unused.weight"] == "diagonal"
    close(dense_block(operator, ["left.weight"]), torch.kron(torch.eye(2), x.T @ x / 5))
    ones = torch.cat([y, torch.ones(5, 1)], 1)
    expected = kronecker_of(2 * torch.eye(2), ones.T @ ones / 5, model.right.weight)
    close(dense_block(operator, ["right.weight", "right.bias"]), expected)
    assert not dense_block(operator, ["unused.weight", "unused.bias"]).any()
    subset = Kronecker.of_model(model, loss, ((x, y), targets), params=["right.bias"])
    close(subset.to_dense(), 2 * torch.eye(2))


def test_a_layer_that_is_used_twice_counts_positions_of_both():
    layer, x = nn.Linear(2, 2), torch.randn(4, 2)
    model = nn.Sequential(layer, layer)
    operator = Kronecker.of_model(model, F.mse_loss, (x, torch.randn(4, 2)))
    first = torch.cat([x, torch.ones(4, 1)], 1)
    second = torch.cat([layer(x).detach(), torch.ones(4, 1)], 1)
    right = (first.T @ first + second.T @ second) / 8
    left = torch.eye(2) + layer.weight.detach().T @ layer.weight.detach()
    close(operator.to_dense(), kronecker_of(left, right, layer.weight))


def test_rows_of_the_output_may_belong_to_samples_in_runs():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(4, 4)
            self.head = nn.Linear(2, 3)

        def forward(self, x):
            return self.head(torch.tanh(self.mix(x.mT)).mT).reshape(-1, 3)

    model = Flat()
    x, y = torch.randn(5, 4, 2), torch.randint(3, (20,))
    operator = Kronecker.of_model(model, F.cross_entropy, (x, y))
    per_sample = lambda output, target: F.cross_entropy(output, target[0])
    factors = factors_by_loops(model, "mix", per_sample, x, y.reshape(5, 4))
    expected = kronecker_of(*factors, model.mix.weight)
    close(dense_block(operator, ["mix.weight", "mix.bias"]), expected, 1e-10)


def test_functions_of_parameters():
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    params = {"w": torch.randn(2, 3), "c": torch.randn(2)}
    operator = Kronecker(lambda p: F.linear(x, p["w"]) * p["c"], lambda z: F.mse_loss(z, y), params)
    assert operator.structure == {"w": "Kronecker", "c": "full"}
    assert operator.uncovered == ("c",)
    squares = (x @ params["w"].T).square().mean(0)
    close(dense_block(operator, ["c"]), squares.diag())


def test_saturated_outputs_in_float32_are_not_refused():
    model = nn.Linear(3, 10).float()
    with torch.no_grad():
        model.weight.mul_(300)
    inputs, targets = torch.randn(64, 3).float(), torch.randint(10, (64,))
    operator = Kronecker.of_model(model, F.cross_entropy, (inputs, targets))
    assert operator.dtype == torch.float32
    assert torch.isfinite(operator.to_dense()).all()


def test_precision_of_the_factors():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).float()
    data = (torch.randn(50, 3).float(), torch.randint(3, (50,)))
    wide = Kronecker.of_model(model, F.cross_entropy, data, precision=torch.float64)
    assert wide.dtype == torch.float32
    assert all(block.dtype == torch.float64 for block in wide._blocks)
    narrow = Kronecker.of_model(model, F.cross_entropy, data)
    assert all(block.dtype == torch.float32 for block in narrow._blocks)
    close(wide.to_dense(), narrow.to_dense(), 1e-5)
