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
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from thalweg.curvature import Kronecker
from thalweg.curvature.output_root import columns, joined


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


REFUSALS = {
    "couples samples": (
        lambda z: (z @ z.T).logsumexp((0, 1)), {}, ValueError, "couples samples"),
    "not convex": (lambda z: z.cos().sum(), {}, ValueError, "not convex"),
    "no scalar": (lambda z: z, {}, TypeError, "scalar"),
    "not finite": (lambda z: z.sum() / 0, {}, ValueError, "not finite"),
    "constant": (lambda z: z.detach().sum(), {}, ValueError, "does not depend"),
    "kind": (lambda z: z.square().sum(), {"kind": "mc"}, ValueError, "kind='mc'"),
    "sharing": (lambda z: z.square().sum(), {"sharing": "x"}, ValueError, "sharing='x'"),
    "draws": (lambda z: z.square().sum(), {"draws": 0}, ValueError, "draws=0"),
    "full": (lambda z: z.square().sum(), {"full": -1}, ValueError, "full=-1"),
    "precision": (
        lambda z: z.square().sum(), {"precision": torch.int32}, ValueError, "precision"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case):
    loss, options, error, words = REFUSALS[case]
    x = torch.rand(4, 2)
    with pytest.raises(error, match=words):
        Kronecker(lambda p: F.linear(x, p["w"]), loss, {"w": torch.rand(3, 2) + 0.1}, **options)


def test_refuses_outputs_without_gradient_or_samples():
    params, x = {"w": torch.rand(3, 2)}, torch.rand(4, 2)
    with pytest.raises(ValueError, match="carries no gradient"):
        Kronecker(lambda p: x.sum(1), lambda z: z.sum(), params)
    with pytest.raises(ValueError, match="first axis"):
        Kronecker(lambda p: p["w"].sum(), lambda z: z.square(), params)


def test_refuses_losses_that_do_not_repeat_themselves():
    counts = iter(range(100))
    loss = lambda z, y: F.mse_loss(z, y) + next(counts)
    data = (torch.rand(4, 2), torch.rand(4, 3))
    with pytest.raises(ValueError, match="two evaluations"):
        Kronecker.of_model(nn.Linear(2, 3), loss, data)
    Kronecker.of_model(nn.Linear(2, 3), loss, data, check=False)


def test_refuses_models_that_use_a_parameter_in_another_way_in_the_next_batch():
    class Changing(nn.Linear):
        def forward(self, x):
            return super().forward(x) if len(x) == 4 else x @ self.weight.T + self.bias

    data = [(torch.rand(n, 2), torch.rand(n, 3)) for n in (4, 3)]
    with pytest.raises(ValueError, match="another way"):
        Kronecker.of_model(Changing(2, 3), F.mse_loss, data)


def test_overflow_is_named():
    model = nn.Linear(2, 3).float()
    data = (torch.full((4, 2), 1e30).float(), torch.zeros(4, 3).float())
    with pytest.raises(ValueError, match="not finite"):
        Kronecker.of_model(model, lambda z, y: z.sigmoid().square().sum(), data)


LOSSES = {
    "an entry each": lambda z: (z**4).sum(),
    "along the last axis": lambda z: z.logsumexp(-1).sum(),
    "along the first axis": lambda z: z.logsumexp(1).sum(),
    "along the second axis": lambda z: z.logsumexp(2).sum(),
    "whole samples": lambda z: z.flatten(1).logsumexp(1).sum(),
    "linear": lambda z: z.sum(),
}


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (4, 3, 2, 2)])
@pytest.mark.parametrize("case", LOSSES)
def test_columns_are_a_square_root_of_the_losss_hessian(case, shape):
    loss, z = LOSSES[case], torch.randn(shape, requires_grad=True)
    if len(shape) == 2 and "second" in case:
        return
    output = joined(z, None)
    width = z.numel() // 4
    found = list(columns(output, loss, kind="exact", weight=1.0))
    expected = torch.autograd.functional.hessian(loss, z.detach()).reshape(4, width, 4, width)
    actual = sum((torch.einsum("ni,nj->nij", u, u) for u in found), torch.zeros(4, width, width))
    blocks = torch.stack([expected[n, :, n] for n in range(4)])
    torch.testing.assert_close(actual, blocks, rtol=0, atol=1e-13 * max(1, float(blocks.max())))
    assert len(found) <= (0 if case == "linear" else width)
