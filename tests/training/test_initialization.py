"""Initialization: variances against counted connections, layer by layer; what is left, refused."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.testing import assert_close

from thalweg.training.initialization import LSUV, Fixup, initialize, squared_gain
from thalweg.training.initialization.fans import fans
from thalweg.training.initialization.initialize import KINDS

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LAYERS = {
    "linear": (nn.Linear(6, 4), (6,)),
    "convolution": (nn.Conv2d(3, 5, 3), (3, 12, 12)),
    "strided": (nn.Conv2d(3, 5, 4, stride=2), (3, 30, 30)),
    "grouped": (nn.Conv1d(6, 4, 3, groups=2), (6, 20)),
    "transposed": (nn.ConvTranspose2d(4, 3, 3), (4, 12, 12)),
    "transposed, strided": (nn.ConvTranspose2d(4, 2, 4, stride=2), (4, 14, 14)),
    "transposed, grouped": (nn.ConvTranspose1d(6, 4, 3, groups=2), (6, 20)),
    "volume": (nn.Conv3d(2, 3, 2), (2, 5, 5, 5)),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The fans, against connections that are counted by letting ones through a layer of ones.


@pytest.mark.parametrize("name", LAYERS)
def test_fans_count_the_connections_of_a_unit(name):
    layer, shape = LAYERS[name]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(1.0 if parameter.dim() > 1 else 0.0)
    inputs = torch.ones(1, *shape, requires_grad=True)
    reached = layer(inputs)
    (reaches,) = torch.autograd.grad(reached.sum(), inputs)
    assert fans(layer) == (inner_mean(reached, layer), inner_mean(reaches, layer))


def inner_mean(counts, layer):
    """The mean over a whole number of strides, away from the edges."""
    stride = getattr(layer, "stride", (1,))[0]
    for axis in range(2, counts.dim()):
        inner = (counts.shape[axis] - 8) // stride * stride if counts.shape[axis] > 12 else 2
        start = (counts.shape[axis] - inner) // 2
        counts = counts.narrow(axis, start, inner)
    return counts.mean().item()


# The gains, against integrals and samples of another kind.


@pytest.mark.parametrize(
    "name, expected",
    [
        ("linear", 1.0),
        ("relu", 2.0),
        (torch.relu, 2.0),
        (lambda z: nn.functional.leaky_relu(z, 0.2), 2 / (1 + 0.2**2)),
        (torch.sign, 1.0),
        (torch.exp, math.exp(-2)),  # E[e^(2z)] = e^2
        (torch.sin, 2 / (1 - math.exp(-2))),  # E[sin^2 z] = (1 - e^-2) / 2
        (torch.erf, 1 / (2 / math.pi * math.asin(2 / 3))),  # C. Williams (1998), equation 11
        ("selu", 1.0),  # G. Klambauer et al. (2017): the fixed point
        ("hardtanh", 1 / 0.5160585509617),  # 1 - 2 phi(1), by parts
    ],
)
def test_gains_are_those_of_closed_forms(name, expected):
    assert squared_gain(name) == pytest.approx(expected, rel=1e-7 if name == "selu" else 1e-12)


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "elu", "softplus", "mish"])
def test_gains_are_those_of_samples(name):
    z = torch.randn(1_000_000, generator=seeded(), dtype=torch.float64)
    values = getattr(nn.functional, name)(z).square()
    error = 5 * values.std() / values.numel() ** 0.5
    assert abs(1 / squared_gain(name) - values.mean()) < error


@pytest.mark.parametrize(
    "name, says", [("rellu", "choose one of linear"), (torch.zeros_like, "is 0")]
)
def test_a_gain_that_is_none_is_refused(name, says):
    with pytest.raises(ValueError, match=says):
        squared_gain(name)


# The variance of what is drawn, by the papers.


def tall(kind, layer, **options):
    initialize(layer, kind, generator=seeded(), **options)
    return layer.weight.detach().double()


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize(
    "kind, options, layer, variance",
    [
        ("lecun", {}, nn.Linear(300, 200), 1 / 300),
        ("glorot", {}, nn.Linear(300, 200), 2 / 500),
        ("he", {}, nn.Linear(300, 200), 2 / 300),
        ("he", {"nonlinearity": "linear"}, nn.Linear(300, 200), 1 / 300),
        ("he", {"nonlinearity": "tanh"}, nn.Linear(300, 200), 2.5366 / 300),
        ("glorot", {"nonlinearity": "relu"}, nn.Linear(300, 200), 4 / 500),
        ("he", {}, nn.Conv2d(32, 64, 5), 2 / 800),
        ("glorot", {}, nn.Conv2d(32, 64, 5), 2 / (800 + 1600)),
        ("he", {}, nn.Conv2d(64, 64, 5, groups=4), 2 / 400),
        ("he", {}, nn.ConvTranspose2d(64, 32, 4, stride=2), 2 / (64 * 4)),
        ("lecun", {}, nn.Bilinear(20, 30, 100), 1 / 600),
        ("he", {}, nn.Embedding(1000, 60), 1.0),
        ("glorot", {}, nn.Embedding(1000, 60), 2 / 61),
    ],
)
def test_variances_are_the_papers(kind, options, layer, variance, distribution):
    weight = tall(kind, layer, distribution=distribution, **options)
    # A normal number's square has deviation sqrt(2); five standard errors.
    assert weight.square().mean().item() == pytest.approx(
        variance, rel=5 * 2**0.5 / weight.numel() ** 0.5
    )
    kurtosis = (weight / weight.std()).pow(4).mean().item()
    assert kurtosis == pytest.approx({"normal": 3.0, "uniform": 1.8}[distribution], rel=0.1)
    assert getattr(layer, "bias", None) is None or not layer.bias.any()


@pytest.mark.parametrize(
    "name", [name for name in LAYERS if name != "linear" and "grouped" not in name]
)
def test_signals_keep_their_variance_through_a_convolution(name):
    layer, shape = LAYERS[name]
    wide = type(layer)(64, 48, layer.kernel_size, stride=layer.stride).double()
    initialize(wide, "lecun", generator=seeded())
    x = torch.randn(4, 64, *shape[1:], generator=seeded(1), dtype=torch.float64)
    y = wide(x)
    edge = tuple(slice(4, -4) if side > 12 else slice(2, -2) for side in y.shape[2:])
    inner = y if not isinstance(wide, nn.ConvTranspose2d) else y[(..., *edge)]
    assert inner.square().mean().item() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(8, 5), nn.Linear(5, 8), nn.Conv2d(3, 4, 3), nn.Conv1d(8, 6, 3, groups=2)],
    ids=str,
)
def test_orthogonal_blocks_have_orthonormal_rows_or_columns(layer):
    weight = tall("orthogonal", layer.double(), nonlinearity="relu")
    for block in weight.chunk(getattr(layer, "groups", 1)):
        matrix = block.flatten(1)
        matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
        assert_close(matrix @ matrix.T, 2 * torch.eye(len(matrix)).double(), **EXACT)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.Linear(5, 5), (3, 5)),
        (nn.Conv2d(4, 4, 3, padding=1), (2, 4, 6, 6)),
        (nn.Conv1d(4, 4, 5, padding=2, groups=2), (2, 4, 9)),
    ],
)
def test_the_identity_hands_on_what_it_is_given(layer, shape):
    x = torch.randn(shape, generator=seeded())
    assert_close(initialize(layer, "identity")(x), x)


def test_a_seed_gives_the_same_weights_in_every_type():
    one, other = nn.Linear(7, 5), nn.Linear(7, 5).double()
    first, second = tall("he", one), tall("he", other)
    assert_close(first, second.float().double(), rtol=0, atol=0)
    assert not torch.equal(initialize(one, "he", generator=seeded(1)).weight.double(), first)


# Layers that keep several matrices in one tensor.


@pytest.mark.parametrize("kind", ["lecun", "he", "glorot", "orthogonal"])
@pytest.mark.parametrize("layer, gates", [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_gates_are_drawn_by_themselves(kind, layer, gates):
    rnn = layer(48, 32, num_layers=2, bidirectional=True).double()
    initialize(rnn, kind, generator=seeded())
    for name, weight in rnn.named_parameters():
        if name.startswith("bias"):
            continue
        blocks = weight.detach().chunk(gates)
        assert not any(torch.equal(blocks[0], other) for other in blocks[1:])
        for block in blocks:
            columns = block.shape[1]
            if "_hh" in name:
                assert_close(block @ block.T, torch.eye(32).double(), **EXACT)
            elif kind != "orthogonal":
                fan = (32 + columns) / 2 if kind == "glorot" else columns
                assert block.square().mean().item() == pytest.approx(1 / fan, rel=0.25)


@pytest.mark.parametrize("layer", [nn.LSTM(3, 4, num_layers=2), nn.LSTMCell(3, 4)], ids=str)
def test_forget_gates_begin_open(layer):
    initialize(layer, "glorot", forget_bias=2.0)
    total = {name[-3:]: 0 for name, _ in layer.named_parameters() if "bias" in name}
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            total[name[-3:]] = total[name[-3:]] + parameter.detach()
    for bias in total.values():
        added = sum(total.values()) if isinstance(layer, nn.LSTMCell) else bias
        assert not added[:4].any()
        assert not added[8:].any()
    ih = layer.bias_ih_l1 if isinstance(layer, nn.LSTM) else layer.bias_ih
    hh = layer.bias_hh_l1 if isinstance(layer, nn.LSTM) else layer.bias_hh
    assert_close((ih + hh).detach(), torch.tensor([0.0] * 4 + [2.0] * 4 + [0.0] * 8))


def test_an_lstm_that_opens_its_forget_gate_remembers_longer():
    x = torch.zeros(20, 1, 3)
    kept = []
    for bias in (0.0, 3.0):
        lstm = initialize(nn.LSTM(3, 8), "lecun", forget_bias=bias, generator=seeded())
        _, (_, cell) = lstm(x, (torch.zeros(1, 1, 8), torch.ones(1, 1, 8)))
        kept.append(cell.mean().item())
    assert kept[0] < 0.01 < 0.3 < kept[1]


def test_projections_of_an_lstm_are_drawn():
    lstm = initialize(nn.LSTM(30, 40, proj_size=20).double(), "lecun", generator=seeded())
    assert lstm.weight_hr_l0.square().mean().item() == pytest.approx(1 / 40, rel=0.2)
    block = lstm.weight_hh_l0.detach()[:40]
    assert_close(block.T @ block, torch.eye(20).double(), **EXACT)


def test_a_plain_recurrent_net_begins_with_the_identity():
    rnn = initialize(nn.RNN(3, 3, nonlinearity="relu"), "identity")
    assert_close(rnn.weight_hh_l0.detach(), torch.eye(3))


@pytest.mark.parametrize("sizes", [{}, {"kdim": 24, "vdim": 96}])
def test_queries_keys_and_values_are_drawn_by_their_own_fans(sizes):
    attention = nn.MultiheadAttention(48, 4, **sizes)
    initialize(attention, "glorot", generator=seeded())
    if sizes:
        parts = [attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight]
    else:
        parts = attention.in_proj_weight.chunk(3)
    for part in [*parts, attention.out_proj.weight]:
        rows, columns = part.shape
        variance = 2 / (rows + columns)  # of the packed matrix it would be 2 / (3 rows + columns)
        assert part.square().mean().item() == pytest.approx(variance, rel=0.15)
    assert not attention.in_proj_bias.any()


def test_attention_is_given_no_gain():
    attention = initialize(nn.MultiheadAttention(64, 4), "he", generator=seeded())
    assert attention.in_proj_weight.square().mean().item() == pytest.approx(1 / 64, rel=0.1)


# What is left alone.


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 200, padding_idx=0)
        self.head = nn.Linear(200, 50, bias=False)
        self.head.weight = self.embedding.weight


def test_a_weight_shared_with_an_embedding_is_the_linear_layers():
    model = initialize(Tied(), "lecun", generator=seeded())
    assert model.head.weight is model.embedding.weight
    assert model.head.weight.square().mean().item() == pytest.approx(1 / 200, rel=0.1)


def test_the_row_of_the_padding_stays_zero():
    embedding = initialize(nn.Embedding(5, 3, padding_idx=2), "lecun")
    assert (embedding.weight == 0).all(1).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("kind", KINDS)
def test_normalization_and_slopes_are_left_alone(kind):
    norms = [nn.BatchNorm1d(4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.RMSNorm(4), nn.PReLU()]
    model = nn.Sequential(nn.Linear(4, 4), *norms)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.7)
    initialize(model, kind)
    assert all((one == 0.7).all() for norm in norms for one in norm.parameters())
    assert not (model[0].weight == 0.7).any()


@pytest.mark.parametrize("how", ["frozen", "module", "parameter"])
def test_frozen_and_named_parameters_are_left_alone(how):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    before = model[0].weight.detach().clone()
    model[0].weight.requires_grad_(how != "frozen")
    leave = {"frozen": (), "module": ("0",), "parameter": "0.weight"}[how]
    initialize(model, "he", leave=leave)
    assert torch.equal(model[0].weight, before)
    assert model[0].bias.any() == (how == "module")


class Token(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.token = nn.Parameter(torch.ones(4))


def weight_normed():
    return nn.Sequential(nn.Linear(4, 4), parametrizations.weight_norm(nn.Linear(4, 4)))


def gated():
    return nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 3))


def meta():
    with torch.device("meta"):
        return nn.Linear(4, 4)


@pytest.mark.parametrize(
    "make, kind, options, says",
    [
        (Token, "he", {}, r"no rule for token: .*leave=\('token',\)"),
        (weight_normed, "he", {}, "before it is parametrized"),
        (meta, "he", {}, "no numbers yet"),
        (lambda: nn.LazyLinear(4), "he", {}, "no numbers yet"),
        (lambda: nn.Linear(4, 4), "hee", {}, "choose one of lecun"),
        (lambda: nn.Linear(4, 4), "lsuv", {}, r"LSUV\(inputs\)"),
        (lambda: nn.Linear(4, 4), "he", {"distribution": "cauchy"}, "normal or uniform"),
        (lambda: nn.Linear(4, 4), "he", {"nonlinearity": "relo"}, "choose one of linear"),
        (lambda: nn.Linear(4, 4), "lecun", {"nonlinearity": "relu"}, "leave the nonlinearity out"),
        (lambda: nn.Linear(4, 4), "he", {"leave": ("1",)}, "has no '1'"),
        (
            lambda: nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 3)),
            "identity",
            {},
            "'1' .LSTM.*nn.RNN",
        ),
        (lambda: nn.ConvTranspose1d(2, 2, 3), "identity", {}, "has no identity"),
        (lambda: nn.Bilinear(2, 2, 2), "identity", {}, "has no identity"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_changed(make, kind, options, says):
    model = make()
    before = {name: one for name, one in model.state_dict().items()}
    copies = {name: one.clone() for name, one in before.items() if type(one) is torch.Tensor}
    with pytest.raises(ValueError, match=says):
        initialize(model, kind, **options)
    after = model.state_dict()
    assert all(one.is_meta or torch.equal(after[name], one) for name, one in copies.items())


def test_a_parameter_without_a_rule_may_be_named():
    for leave in ("token", ("token",)):
        assert initialize(Token(), "he", leave=leave).token.eq(1).all()


# Scaled by data.


def test_lsuv_gives_every_layer_unit_variance():
    model = nn.Sequential(
        *(nn.Conv2d(2, 8, 3), nn.Softplus(), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(8 * 16, 30), nn.Sigmoid(), nn.Linear(30, 5)),
    ).double()
    x = 7 + 3 * torch.randn(50, 2, 8, 8, generator=seeded(), dtype=torch.float64)
    initialize(model, LSUV(x), generator=seeded(1))
    assert model[2].num_batches_tracked == 0
    assert_close(model[2].running_var, torch.ones(8).double())
    found = []
    for layer in model:
        x = layer(x)
        found += [x.var(correction=0).item()] if hasattr(layer, "weight") else []
    assert found == pytest.approx([1, found[1], 1, 1, 1], rel=1e-10)
    first = model[0].weight.detach().flatten(1)
    product = first @ first.T
    assert_close(product, product[0, 0] * torch.eye(8).double(), **EXACT)


def test_lsuv_scales_a_shared_layer_and_a_left_one_as_it_should():
    shared, left = nn.Linear(6, 6), nn.Linear(6, 6)
    model = nn.Sequential(shared, nn.Tanh(), shared, left)
    before = left.weight.detach().clone()
    x = torch.randn(40, 6, generator=seeded())
    initialize(model, LSUV(x), leave=("3",), generator=seeded())
    assert shared(x).std(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert torch.equal(left.weight, before)


def test_lsuv_leaves_the_random_stream_where_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 4))
    torch.manual_seed(3)
    initialize(model, LSUV(torch.randn(9, 4, generator=seeded())), generator=seeded())
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))


def test_lsuv_refuses_what_does_not_vary():
    with pytest.raises(ValueError, match=r"outputs of '0' have deviation 0\.0"):
        initialize(nn.Sequential(nn.Linear(4, 4)), LSUV(torch.zeros(9, 4)))
    with pytest.raises(ValueError, match="no linear or convolutional layer"):
        initialize(nn.ReLU(), LSUV(torch.zeros(9, 4)))


# Residual branches.


class Residual(nn.Module):
    def __init__(self, depth, width=32, inner=2):
        super().__init__()
        layers = lambda: (
            [nn.Linear(width, width), nn.ReLU()] * 0
            + [part for _ in range(inner) for part in (nn.ReLU(), nn.Linear(width, width))]
        )
        self.branches = nn.ModuleList(nn.Sequential(*layers()) for _ in range(depth))
        self.idle = nn.ReLU()
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return self.head(x)


@pytest.mark.parametrize("depth, inner", [(4, 2), (16, 3), (9, 1)])
def test_fixup_scales_branches_as_the_paper_says(depth, inner):
    model = Residual(depth, inner=inner).double()
    initialize(model, Fixup(model.branches, model.head), generator=seeded())
    plain = initialize(Residual(depth, inner=inner).double(), "he", generator=seeded())
    for branch, other in zip(model.branches, plain.branches, strict=True):
        *inside, last = [one for one in branch if isinstance(one, nn.Linear)]
        *outside, _ = [one for one in other if isinstance(one, nn.Linear)]
        for layer, drawn in zip(inside, outside, strict=True):
            assert_close(layer.weight, drawn.weight * depth ** (-1 / (2 * inner - 2)), **EXACT)
        assert not last.weight.any()
    assert not model.head.weight.any()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda model: Fixup([], model.head), "at least one"),
        (lambda model: Fixup(model.branches, model), "the output layer"),
        (lambda model: Fixup(model.branches, nn.Linear(1, 1)), "head is no module of the model"),
        (lambda model: Fixup([nn.Linear(1, 1)], model.head), "branch is no module"),
        (lambda model: Fixup([nn.Sequential()], model.head), "branch is no module"),
        (lambda model: Fixup([model.idle], model.head), "branch 0 holds no layer"),
        (lambda model: Fixup(model.branches, model.head), "branch 1 holds BatchNorm1d"),
    ],
)
def test_fixup_refuses_what_it_is_not_for(make, says):
    model = Residual(2)
    if "BatchNorm" in says:
        model.branches[1].append(nn.BatchNorm1d(32))
    with pytest.raises(ValueError, match=says):
        initialize(model, make(model))
