"""Normalization put into models: where, of which kind, what goes, what stays, what is refused."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev
from torch.nn import functional
from torch.testing import assert_close

from thalweg.curvature import Hessian
from thalweg.training.normalization import InputNormalization, insert_normalization, normalize
from thalweg.training.normalization.layers import default_groups
from thalweg.training.regularization import DropUnits, GaussianNoise

EXACT = {"rtol": 1e-12, "atol": 1e-12}
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


class Functional(nn.Module):
    """As scripts write it: functions for what has no weights."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)
        self.drop = nn.Dropout2d(0.25)
        self.hidden, self.out = nn.Linear(32 * 2 * 2, 24), nn.Linear(24, 10)

    def forward(self, x):
        x = functional.relu(functional.max_pool2d(self.first(x), 2))
        x = self.drop(self.second(x)).relu()
        x = torch.flatten(x, 1)
        x = functional.dropout(torch.tanh(self.hidden(x)), training=self.training)
        return functional.log_softmax(self.out(x), 1)


def convolutional(activation=nn.ReLU):
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3), activation(), nn.Conv2d(16, 32, 3), activation()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5), nn.Softmax(1)),
    )


def perceptron(activation=nn.Tanh, width=24):
    return nn.Sequential(
        *(nn.Linear(6, width), activation(), nn.Linear(width, width), activation()),
        *(nn.Linear(width, 1), nn.Sigmoid()),
    )


def images(n=8):
    random = torch.Generator().manual_seed(0)
    return torch.randn(n, 1, 10, 10, generator=random, dtype=torch.float64) * 3 + 1


def rows(n=40):
    random = torch.Generator().manual_seed(0)
    return torch.randn(n, 6, generator=random, dtype=torch.float64) * 3 + 1


def names(model):
    """The names of the layers that stand before a normalization."""
    return [
        name.removesuffix(".normalization")
        for name, _ in model.named_modules()
        if name.endswith(".normalization")
    ]


# Where.


def test_functions_and_modules_are_found_alike():
    assert names(insert_normalization(Functional(), "batch")) == ["first", "second", "hidden"]
    assert names(insert_normalization(convolutional(), "batch")) == ["0", "2"]
    assert names(insert_normalization(perceptron(), "batch")) == ["0", "2"]


def test_after_it_stands_behind_the_nonlinearity():
    assert names(insert_normalization(perceptron(), "batch", "after")) == ["1", "3"]


class Checked(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    "first",
    [InputNormalization().fit(rows()), DropUnits(1), GaussianNoise(0.1), Checked()],
    ids=lambda one: type(one).__name__,
)
def test_what_holds_no_layer_need_not_be_traced(first):
    model = nn.Sequential(first, perceptron(), Checked())
    assert names(insert_normalization(model.double(), "batch")) == ["1.0", "1.2"]
    assert model(rows()).isfinite().all()


class Clipped(nn.Module):
    def forward(self, x):
        return functional.relu(x).clamp_max(3)


def test_a_nonlinearity_is_found_in_a_module_of_ones_own():
    assert names(insert_normalization(perceptron(Clipped), "batch")) == ["0", "2"]


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.seen = nn.Linear(6, 6)

    def forward(self, x):
        h = self.seen(x)
        x = x + self.b(functional.relu(self.a(x))) + functional.relu(h) + h
        return functional.relu(self.c(functional.relu(x)))


def test_only_layers_that_feed_a_hidden_nonlinearity_alone_are_normalized():
    assert names(insert_normalization(Residual(), "layer")) == ["a"]


@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_images_are_normalized_over_the_axes_of_the_kind(kind, where):
    model = insert_normalization(convolutional().double(), kind, where)
    x = images()
    for part in model[:4]:
        if isinstance(part, nn.Sequential):
            x = part[0](x)
            expected = normalize(x, kind, groups=x.shape[1] // 16 if kind == "group" else 1)
            assert_close(part[1](x), expected, **EXACT)
            x = expected
        else:
            x = part(x)
    assert model(images()).isfinite().all()


@pytest.mark.parametrize("kind", ["batch", "layer", "group"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_rows_are_normalized_over_the_axes_of_the_kind(kind, where):
    model = insert_normalization(perceptron(width=48).double(), kind, where)
    inner = model[0] if where == "before" else model[:2]
    x = model[0][0](rows()) if where == "before" else model[1][0](model[0](rows()))
    assert_close(inner(rows()), normalize(x, kind, groups=3 if kind == "group" else 1), **EXACT)


@pytest.mark.parametrize("kind", ["batch", "layer", "group"])
def test_features_of_sequences_are_the_last_axis(kind):
    model = insert_normalization(perceptron(width=48).double(), kind)
    x = torch.stack([rows(48), rows(48).flip(0)])  # as many places in time as features
    flat = model(x.flatten(0, 1))
    assert_close(model(x).flatten(0, 1), flat, **EXACT)


def test_after_it_passes_over_what_is_normalized_behind_a_dropout():
    normalized = [nn.Linear(6, 24), nn.Tanh(), nn.Dropout(), nn.BatchNorm1d(24)]
    model = nn.Sequential(*normalized, nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
    assert names(insert_normalization(model, "batch", "after")) == ["5"]


@pytest.mark.parametrize("norm", [nn.InstanceNorm1d, nn.BatchNorm1d])
def test_scale_and_shift_at_the_end_make_no_layer(norm):
    model = nn.Sequential(nn.Conv1d(6, 24, 1), nn.Tanh(), norm(24, affine=True))
    with pytest.raises(ValueError, match="hidden nonlinearity"):
        insert_normalization(model, "batch")


# What is trained, and what goes.


@pytest.mark.parametrize(
    "where, affine, scaled",
    [
        ("before", None, True),
        ("after", None, False),
        ("before", False, False),
        ("after", True, True),
    ],
)
@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group"])
def test_scale_and_shift_stand_before_and_not_after(kind, where, affine, scaled):
    model = insert_normalization(convolutional(), kind, where, affine=affine)
    norms = [one for one in model.modules() if isinstance(one, NORMS)]
    assert [len(list(one.parameters())) for one in norms] == [2 * scaled] * 2


def directions(model, x):
    """In how many directions of its parameters a model's outputs on some inputs can go."""
    names, values = zip(*model.named_parameters(), strict=True)
    compute = lambda *held: functional_call(model, dict(zip(names, held, strict=True)), (x,))
    jacobians = jacrev(compute, argnums=tuple(range(len(values))))(*values)
    rows = torch.cat([one.flatten(2) for one in jacobians], 2).flatten(0, 1)
    return torch.linalg.matrix_rank(rows, rtol=1e-9).item(), rows.shape[1]


@pytest.mark.parametrize("where, more", [("before", 10), ("after", 0)])
def test_after_it_scale_and_shift_add_nothing_that_the_next_layer_has_not(where, more):
    ranks = []
    for affine in (False, True):
        torch.manual_seed(0)
        bare = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        model = insert_normalization(bare, "layer", where, affine=affine)
        ranks.append(directions(model, rows()))
    (bare, fewer), (scaled, all_of_them) = ranks
    assert all_of_them == fewer + 2 * 5
    assert scaled == bare + more


@pytest.mark.parametrize("kind, gone", [("batch", 1), ("instance", 1), ("layer", 0), ("group", 0)])
def test_a_bias_that_is_subtracted_again_goes_and_changes_nothing(kind, gone):
    bare = convolutional().double()
    model = insert_normalization(copy.deepcopy(bare), kind)
    assert [model[at][0].bias is None for at in (0, 2)] == [bool(gone)] * 2
    assert model[6].bias is not None
    kept = copy.deepcopy(model)
    for at in (0, 2):
        kept[at][0].bias = bare[at].bias
    assert torch.allclose(kept(images()), model(images()), rtol=1e-9)


def test_the_bias_stays_where_it_comes_before_the_nonlinearity():
    model = insert_normalization(convolutional(), "batch", "after")
    assert model[0].bias is not None


def test_device_type_and_mode_are_the_layers():
    model = insert_normalization(perceptron().double().eval(), "batch")
    norm = model[0].normalization
    assert not norm.training
    assert {one.dtype for one in norm.parameters()} == {torch.float64}
    assert all(one.device == model[0].layer.weight.device for one in norm.buffers())


def test_the_model_trains_saves_and_is_copied():
    model = insert_normalization(Functional().double(), "batch")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    targets = torch.arange(8) % 10
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = functional.nll_loss(model(images()), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = insert_normalization(Functional().double(), "batch")
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_close(other.eval()(images()), copy.deepcopy(model).eval()(images()), **EXACT)


@pytest.mark.parametrize("channels, groups", [(8, 1), (16, 1), (31, 1), (32, 2), (64, 4), (100, 5)])
def test_groups_hold_sixteen_channels_or_a_few_more(channels, groups):
    assert default_groups(channels) == groups


# Refusals.


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return self.layer(x if x.sum() > 0 else -x)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.act, self.a, self.b, self.c = nn.ReLU(), *(nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        return self.c(self.act(self.b(self.act(self.a(self.a(x))))))


@pytest.mark.parametrize(
    "model, arguments, says",
    [
        (perceptron(), ("batsh",), "choose one of batch, layer"),
        (perceptron(), ("batch", "around"), "before, after"),
        (perceptron(), ("instance",), "'0': a linear layer's outputs have no space"),
        (perceptron(width=2), ("layer",), "2 numbers normalized together keep nothing"),
        (Functional(), ("batch", "after"), "'first': its nonlinearity is called as a function"),
        (Branching(), ("batch",), "cannot be traced"),
        (nn.Linear(3, 3), ("batch",), "is followed by a hidden nonlinearity"),
        (nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()), ("batch",), "hidden nonlinearity"),
        (Shared(), ("batch",), "'a': it is used several times"),
        (Shared(), ("batch", "after"), "nonlinearity's module is used several times"),
        (insert_normalization(perceptron(), "batch"), ("batch",), "already normalized"),
        (
            insert_normalization(perceptron(), "batch", "after"),
            ("layer", "after"),
            "already normalized",
        ),
    ],
)
def test_what_cannot_be_normalized_is_refused_and_nothing_changed(model, arguments, says):
    before = str(model)
    with pytest.raises(ValueError, match=says):
        insert_normalization(model, *arguments)
    assert str(model) == before


@pytest.mark.parametrize(
    "groups, says", [(5, "must divide the 24 channels"), (12, "fewer groups or 'batch'")]
)
def test_groups_that_are_none_are_refused(groups, says):
    with pytest.raises(ValueError, match=says):
        insert_normalization(perceptron(), "group", groups=groups)


def test_a_batch_of_one_is_refused_in_training_only():
    for model, x in ((perceptron(), rows(1)), (convolutional(), images(1))):
        inserted = insert_normalization(model.double(), "batch")
        with pytest.raises(ValueError, match=r"drop_last=True.*or 'group' or 'layer'"):
            inserted(x)
        assert inserted.eval()(x).isfinite().all()


# What it does to curvature.


def spread(model):
    """The greatest absolute eigenvalue of the loss's Hessian over their median."""
    x = rows(100)
    targets = (x[:, :1] > 1).double()
    with Hessian.of_model(model, functional.binary_cross_entropy, (x, targets)) as hessian:
        matrix = hessian.to_dense()
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).abs()
    return (values.max() / values.median()).item()


@pytest.mark.parametrize(
    "activation, kind, less",
    [(nn.ReLU, "batch", 3), (nn.Sigmoid, "batch", 1e3), (nn.Sigmoid, "layer", 10)],
)
def test_normalized_layers_curve_more_alike(activation, kind, less):
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(8, 8), activation())]
    deep = nn.Sequential(nn.Linear(6, 8), activation(), *layers, nn.Linear(8, 1), nn.Sigmoid())
    bare = spread(deep.double())
    assert spread(insert_normalization(deep, kind)) < bare / less
