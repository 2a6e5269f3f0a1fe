"""Interventions in the forward pass: the script under them is the script edited by hand."""

import math

import pytest
import torch
from scripts_and_edits import different, equal, network, run, script, table
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils import checkpoint as checkpointing

from thalweg.interventions import (
    ActivationSwap,
    ClassWeights,
    Initialization,
    InputStandardization,
    LossWiring,
    Mode,
    Normalization,
    Regularization,
    SafeOperations,
    TargetStandardization,
)
from thalweg.interventions.input_standardization import of_moments
from thalweg.interventions.loss_wiring import READINGS
from thalweg.recorder import Recorder, Recording, Session
from thalweg.training.normalization.whitening import inverse_root

MEAN, STD = [2.0, 1.0, 2.0, 0.0], [1.0, 4.0, 0.25, 2.0]
GIVEN = [{"mean": MEAN, "std": STD}]
WHITE = [[1.0, 0.5, 0.0, 0.0], [0.5, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.5]]


def standard(x, axis=-1):
    shape = [1] * x.dim()
    shape[axis] = -1
    size = x.shape[axis]
    mean, std = torch.tensor(MEAN[:size]).double(), torch.tensor(STD[:size]).double()
    return (x - mean.reshape(shape)) / std.reshape(shape)


def training(model_of, data_of, classes=3, given=lambda x: x, evaluate=True):
    """Training of a model on data of its own, with the data changed on the way in."""

    def inner():
        x = given(data_of())
        y = torch.randint(classes, (len(x),))
        model = model_of().double()
        params = list(model.parameters()) if isinstance(model, nn.Module) else model.params
        optimizer = SGD(params, lr=0.05)
        for _ in range(4):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return [*params, model(x)]

    return inner


class Bare:
    """A model without modules."""

    def __init__(self, left):
        self.left = left

    def double(self):
        self.w = torch.randn((3, 4) if self.left else (4, 3), dtype=torch.float64).requires_grad_()
        self.params = [self.w]
        return self

    def __call__(self, x):
        return (self.w @ x.T).T if self.left else x @ self.w


class Recurrent(nn.Module):
    """The last state, read out."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Checkpointed(nn.Module):
    """Computed again during the backward pass."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return checkpointing.checkpoint(self.inner, x, use_reentrant=False)


def images():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def signals():
    return nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def normal(*shape):
    return lambda: torch.randn(*shape, dtype=torch.float64) * 3 + 2


DATA = {
    "a table": (network, normal(20, 4), -1),
    "bare tensors": (lambda: Bare(left=False), normal(20, 4), -1),
    "bare tensors from the left": (lambda: Bare(left=True), normal(20, 4), -1),
    "sequences": (Recurrent, normal(6, 5, 4), -1),
    "images": (images, normal(6, 3, 4, 4), 1),
    "signals": (signals, normal(6, 3, 6), 1),
    "a checkpoint": (Checkpointed, normal(20, 4), -1),
}


@pytest.mark.parametrize("kind", DATA)
def test_given_moments_standardize_what_enters(kind):
    model, data, axis = DATA[kind]
    size = data().shape[axis]
    given = [{"mean": MEAN[:size], "std": STD[:size]}]
    under = run(training(model, data), [InputStandardization(given)])
    wanted = run(training(model, data, given=lambda x: standard(x, axis)))
    equal(under, wanted, 1e-11)
    different(run(training(model, data)), wanted)


@pytest.mark.parametrize("kind", DATA)
def test_moments_gathered_on_the_way_are_those_of_the_data(kind):
    model, data, axis = DATA[kind]

    def given(x):
        other = [i for i in range(x.dim()) if i != axis % x.dim()]
        mean, std = x.mean(other, keepdim=True), x.std(other, keepdim=True, correction=0)
        return (x - mean) / std

    under = run(training(model, data), [InputStandardization()])
    equal(under, run(training(model, data, given=given)), 1e-9)


@pytest.mark.parametrize("inner", [network, Checkpointed])
def test_what_a_checkpoint_repeats_is_gathered_once(inner):
    def minibatches():
        x, y = normal(60, 4)(), torch.randint(3, (60,))
        model = inner().double()
        optimizer = SGD(model.parameters(), lr=0.05)
        for rows in torch.arange(60).split(12):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        return model.parameters()

    under = run(minibatches, [InputStandardization()])
    seen = {}

    def given(model, x):
        seen["all"] = torch.cat([seen["all"], x]) if "all" in seen else x
        mean, std = seen["all"].mean(0), seen["all"].std(0, correction=0)
        return model((x - mean) / std)

    def edited():
        x, y = normal(60, 4)(), torch.randint(3, (60,))
        model = network()
        optimizer = SGD(model.parameters(), lr=0.05)
        for rows in torch.arange(60).split(12):
            optimizer.zero_grad()
            F.cross_entropy(given(model, x[rows]), y[rows]).backward()
            optimizer.step()
        return model.parameters()

    equal(under, run(edited), 1e-7)


@pytest.mark.parametrize("kind", [k for k in DATA if k not in ("images", "signals")])
def test_whitening_multiplies_what_enters(kind):
    model, data, _ = DATA[kind]
    matrix = torch.tensor(WHITE, dtype=torch.float64)
    under = run(training(model, data), [InputStandardization([{"whitening": WHITE}])])
    equal(under, run(training(model, data, given=lambda x: x @ matrix)), 1e-11)


def recorded_moments(kind, folder):
    model, data, _ = DATA[kind]
    run(training(model, data), [Recorder(folder, folder)])
    return Recording.read(folder).moments


def test_a_recordings_moments_make_the_description(tmp_path):
    def data():
        x = normal(40, 4)()
        x[:, 2] = 7.0  # a constant feature may stand in for a bias
        return x

    run(training(network, data), [Recorder(tmp_path, tmp_path)])
    entrances = of_moments(Recording.read(tmp_path).moments)

    def given(x):
        mean, std = x.mean(0), x.std(0, correction=0)
        mean[2], std[2] = 0.0, 1.0
        return (x - mean) / std

    under = run(training(network, data), [InputStandardization(entrances)])
    equal(under, run(training(network, data, given=given)), 1e-7)


def test_wide_entrances_get_one_mean_and_deviation(tmp_path):
    moments = recorded_moments("a table", tmp_path)
    (one,) = of_moments(moments, largest=3)
    torch.manual_seed(11)
    x = DATA["a table"][1]()
    assert one["mean"] == pytest.approx(x.mean().item())
    assert one["std"] == pytest.approx(x.std(correction=0).item())


def test_decorrelation_gives_every_direction_the_same_curvature(tmp_path):
    moments = recorded_moments("a table", tmp_path)
    (one,) = of_moments(moments, decorrelate=True)
    root = torch.tensor(one["whitening"], dtype=torch.float64)
    second = torch.tensor(moments["second0"])
    torch.testing.assert_close(root @ second @ root, torch.eye(4).double(), rtol=1e-9, atol=1e-9)


def test_null_directions_are_mapped_to_zero():
    root = inverse_root(torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(root, torch.tensor([[0.5, 0.0], [0.0, 0.0]]))


def test_two_entrances_are_kept_apart():
    def two(given_first, given_second):
        def inner():
            a, b = normal(20, 4)(), normal(20, 3)()
            a, b = given_first(a), given_second(b)
            y = torch.randint(3, (20,))
            left, right = nn.Linear(4, 3).double(), nn.Linear(3, 3).double()
            optimizer = SGD([*left.parameters(), *right.parameters()], lr=0.05)
            for _ in range(3):
                optimizer.zero_grad()
                F.cross_entropy(left(a) + right(b), y).backward()
                optimizer.step()
            return [*left.parameters(), *right.parameters()]

        return inner

    given = [{"mean": MEAN, "std": STD}, {"mean": 1.0, "std": 2.0}]
    under = run(two(lambda x: x, lambda x: x), [InputStandardization(given)])
    equal(under, run(two(standard, lambda x: (x - 1) / 2)), 1e-11)


def test_data_of_another_width_is_left_alone():
    given = [{"mean": [0.0] * 7, "std": [9.0] * 7}]
    equal(run(script(), [InputStandardization(given)]), run(script()))
    white = [{"whitening": [[5.0]]}]
    equal(run(script(), [InputStandardization(white)]), run(script()))


# ---------------------------------------------------------------------------- initialization

DRAWS = {
    "he": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
    "glorot": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "lecun": lambda fan_in, fan_out: math.sqrt(1 / fan_in),
    "torch": lambda fan_in, fan_out: math.sqrt(1 / (3 * fan_in)),
}
LAYERS = {
    "linear": (lambda w, x: F.linear(x, w), (300, 200), 200, 300),
    "x @ w": (lambda w, x: x @ w, (200, 300), 200, 300),
    "w @ x": (lambda w, x: w @ x.T, (300, 200), 200, 300),
    "mm": (lambda w, x: torch.mm(x, w), (200, 300), 200, 300),
    "conv2d": (
        lambda w, x: F.conv2d(x.reshape(-1, 8, 5, 5), w), (300, 8, 5, 5), 200, 300 * 25,
    ),
}  # fmt: skip


def drawn(scheme, kind):
    layer, shape, *_ = LAYERS[kind]

    def inner():
        weight = torch.ones(shape, requires_grad=True)
        layer(weight, torch.ones(1, 200))
        return [weight]

    return run(inner, [Initialization(scheme)])


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("scheme", DRAWS)
def test_weights_are_drawn_with_the_schemes_deviation(scheme, kind):
    weight, random = drawn(scheme, kind)
    *_, fan_in, fan_out = LAYERS[kind]
    wanted = DRAWS[scheme](fan_in, fan_out)
    assert weight.std().item() == pytest.approx(wanted, rel=0.02)
    assert abs(weight.mean().item()) < 0.02 * wanted
    torch.manual_seed(11)
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 6), (4, 3, 2, 2)])
def test_orthogonal_weights_have_orthonormal_rows_or_columns(shape):
    def inner():
        weight = torch.ones(shape, dtype=torch.float64, requires_grad=True)
        data = torch.ones(1, *shape[1:], dtype=torch.float64)
        F.linear(data, weight) if len(shape) == 2 else F.conv2d(data, weight)
        return [weight.flatten(1)]

    weight = run(inner, [Initialization("orthogonal")])[0]
    gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
    torch.testing.assert_close(gram, torch.eye(len(gram)).double(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scheme", ["unit-rows", "he", "torch"])
@pytest.mark.parametrize("table", [nn.Embedding, nn.EmbeddingBag])
def test_tables_are_drawn_by_rows_of_length_one_and_by_nothing_else(table, scheme):
    def inner():
        rows, layer = table(3000, 64), nn.Linear(64, 8)
        before = [p.detach().clone() for p in (rows.weight, layer.weight, layer.bias)]
        layer(rows(torch.arange(10).reshape(2, 5)))
        return [rows.weight, layer.weight, layer.bias, *before]

    found = run(inner, [Initialization(scheme)])[:-1]
    drawn = [not torch.equal(*pair) for pair in zip(found[:3], found[3:], strict=True)]
    assert drawn == ([True, False, False] if scheme == "unit-rows" else [False, True, True])
    if scheme == "unit-rows":
        lengths = found[0].square().sum(1)
        assert lengths.mean().item() == pytest.approx(1, rel=0.02)
        assert (found[0] @ found[0].T).fill_diagonal_(0).square().mean() < 1.1 / 64


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("alone", [False, True])
def test_recurrent_matrices_are_orthogonal_gate_by_gate(kind, alone):
    def inner():
        rnn = getattr(nn, kind)(3, 4, num_layers=2).double()
        before = [p.detach().clone() for p in rnn.parameters()]
        rnn(torch.ones(2, 1, 3, dtype=torch.float64))
        return [*rnn.parameters(), *before]

    found = run(inner, [Initialization("he", recurrent_only=alone)])[:-1]
    after, before = found[:8], found[8:]
    for one, old in zip(after, before, strict=True):
        if one.dim() == 1:
            assert torch.equal(one, old) if alone else not one.any()
    for recurrent in (after[1], after[5]):
        for gate in recurrent.split(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(4).double(), rtol=1e-12, atol=1e-12)
    assert torch.equal(after[0], before[0]) == alone


def test_each_layer_is_drawn_once_and_before_the_first_update_only():
    seen = []

    def inner():
        x, y = table()
        model, late = network(), nn.Linear(3, 3).double()
        optimizer = SGD(model.parameters(), lr=0.0)
        for step in range(3):
            optimizer.zero_grad()
            out = model(x)
            seen.append(model[0].weight.detach().clone())
            F.cross_entropy(out if step < 2 else late(out), y).backward()
            optimizer.step()
        seen.append(late.bias.detach().clone())
        return []

    run(inner, [Initialization("he")])
    assert torch.equal(seen[0], seen[2])
    assert seen[3].any()  # a layer first called after an update keeps what it has


def test_the_initialization_is_the_same_every_time():
    equal(drawn("he", "linear"), drawn("he", "linear"))


# ------------------------------------------------------------------------------- activations


def deep(first, second, last):
    def make():
        return nn.Sequential(
            nn.Linear(4, 6), first(), nn.Linear(6, 5), second(), nn.Linear(5, 3), last()
        ).double()

    return make


def watching(model, x, y):
    """A loss whose script squashes the outputs for itself once more."""
    out = model(x)
    torch.sigmoid(out.detach()).round()
    torch.tanh(x)
    return F.cross_entropy(out, y)


ACTIVATIONS = {
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


@pytest.mark.parametrize("to", ACTIVATIONS)
@pytest.mark.parametrize("loss_of", [watching, lambda model, x, y: F.cross_entropy(model(x), y)])
def test_activations_are_swapped_at_their_positions(to, loss_of):
    original = script(make=deep(nn.Sigmoid, nn.Softsign, nn.ELU), loss_of=loss_of)
    act = ACTIVATIONS[to]
    inner = script(make=deep(act, act, nn.ELU), loss_of=loss_of)
    equal(run(original, [ActivationSwap(to, [0, 1], 3)]), run(inner))
    last = script(make=deep(nn.Sigmoid, nn.Softsign, act), loss_of=loss_of)
    equal(run(original, [ActivationSwap(to, [2], 3)]), run(last))
    different(run(original), run(last))


def test_images_are_normalized_over_channels_and_space():
    class Normed(nn.Sequential):
        def forward(self, x):
            return self[3](self[2](self[1](F.layer_norm(self[0](x), (4, 2, 2)))))

    def make():
        return Normed(*images())

    data = DATA["images"][1]
    under = run(training(images, data), [Normalization([0], 2)])
    equal(under, run(training(make, data)))
    different(run(training(images, data)), under)


def test_layers_are_normalized_at_their_positions():
    class Normed(nn.Sequential):
        def forward(self, x):
            h = F.layer_norm(self[0](x), (6,))
            return self[2](self[1](h))

    def make():
        return Normed(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()

    under = run(script(loss_of=watching), [Normalization([0], 2)])
    equal(under, run(script(make=make, loss_of=watching)))
    different(run(script(loss_of=watching)), under)


def test_targets_are_standardized():
    mean, std = 5.0, 3.0

    def regression(edited):
        def inner():
            x, y = table()
            y = y.double() * 3 + 5
            model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()
            optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
            for _ in range(6):
                optimizer.zero_grad()
                target = (y - mean) / std if edited else y
                F.mse_loss(model(x)[:, 0], target).backward()
                optimizer.step()
            with torch.no_grad():
                out = model(x) * std + mean if edited else model(x)
            return [*model.parameters(), out]

        return inner

    under = run(regression(False), [TargetStandardization(mean, std, 1, 2)])
    equal(under, run(regression(True)), 1e-11)


class Heads(nn.Module):
    def __init__(self, join):
        super().__init__()
        self.trunk, self.heads = nn.Linear(4, 6), nn.ModuleList(nn.Linear(6, 1) for _ in range(3))
        self.join = join

    def forward(self, x):
        hidden = torch.cat([self.trunk(x).tanh(), x[:, :0]], 1)  # no joining of outputs
        return self.join([head(hidden) for head in self.heads])


JOINED = {
    "one layer": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), 2, None),
    "heads": (lambda: Heads(lambda parts: torch.cat(parts, 1)), 4, "cat"),
    "stacked": (lambda: Heads(lambda parts: torch.stack([p[:, 0] for p in parts], 1)), 4, "stack"),
}
ERRORS = {
    "squared": (F.mse_loss, 2), "absolute": (F.l1_loss, 1),
    "by hand": (lambda out, y: (out - y).square().mean(), 2),
}  # fmt: skip


@pytest.mark.parametrize("error, power", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("make, layers, joined_by", JOINED.values(), ids=JOINED)
def test_columns_are_standardized_by_moments_of_their_own(make, layers, joined_by, error, power):
    mean, std = [200.0, 0.5, -3.0], [40.0, 1.0, 0.02]

    def regression(edited):
        def inner():
            x, y = table()
            m, s = (torch.tensor(one, dtype=torch.float64) for one in (mean, std))
            y = torch.stack([y, x[:, 0], x[:, 1]], 1) * s + m
            model = make().double()
            optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
            for _ in range(6):
                optimizer.zero_grad()
                penalty = 1e-2 * sum(p.square().sum() for p in model.parameters())
                (error(model(x), (y - m) / s if edited else y) + penalty).backward()
                optimizer.step()
            with torch.no_grad():
                out = model(x) * s + m if edited else model(x)
            return [*model.parameters(), out]

        return inner

    under = run(
        regression(False), [TargetStandardization(mean, std, layers - 1, layers, power, joined_by)]
    )
    equal(under, run(regression(True)), 1e-9)


def test_outputs_of_another_width_are_left_alone():
    watched = run(script(), [TargetStandardization([1.0] * 4, [2.0] * 4, 1, 2)])
    equal(watched, run(script()))


# --------------------------------------------------------------------------------- the loss


def loss_script(loss_of, last=nn.Identity, width=3):
    def make():
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, width), last()).double()

    return script(loss_of=loss_of, make=make, lr=0.3)


def column(y):
    return (y > 0).double()


def counts(x):
    """Whole numbers from zero, one row of three for each example."""
    return x[:, :3].abs().round()


def tags(x):
    """Several of three labels at once."""
    return (x[:, :3] > -0.3).double()


soft = lambda: nn.Softmax(1)
WIRINGS = {
    "softmax twice": (
        "logits",
        loss_script(lambda m, x, y: F.cross_entropy(torch.softmax(m(x), 1), y)),
        loss_script(lambda m, x, y: F.cross_entropy(m(x), y)),
    ),
    "softmax twice, by keywords": (
        "logits",
        loss_script(lambda m, x, y: F.cross_entropy(input=m(x).softmax(1), target=y)),
        loss_script(lambda m, x, y: F.cross_entropy(m(x), y)),
    ),
    "softmax twice, modules": (
        "logits",
        loss_script(lambda m, x, y: nn.CrossEntropyLoss(label_smoothing=0.1)(soft()(m(x)), y)),
        loss_script(lambda m, x, y: nn.CrossEntropyLoss(label_smoothing=0.1)(m(x), y)),
    ),
    "sigmoid twice": (
        "logits",
        loss_script(lambda m, x, y: F.binary_cross_entropy_with_logits(
            torch.sigmoid(m(x))[:, 0:1].sigmoid(), column(y)[:, None])),
        loss_script(lambda m, x, y: F.binary_cross_entropy_with_logits(
            torch.sigmoid(m(x))[:, 0:1], column(y)[:, None])),
    ),
    "likelihood of raw outputs": (
        "log-probabilities",
        loss_script(lambda m, x, y: F.nll_loss(m(x), y)),
        loss_script(lambda m, x, y: F.nll_loss(F.log_softmax(m(x), 1), y)),
    ),
    "likelihood of probabilities": (
        "log-probabilities",
        loss_script(lambda m, x, y: nn.NLLLoss(reduction="sum")(torch.softmax(m(x), 1), y)),
        loss_script(lambda m, x, y: nn.NLLLoss(reduction="sum")(torch.softmax(m(x), 1).log(), y)),
    ),
    "labels that share a softmax": (
        "each-label",
        loss_script(lambda m, x, y: F.cross_entropy(m(x), tags(x))),
        loss_script(lambda m, x, y: F.binary_cross_entropy_with_logits(m(x), tags(x))),
    ),
    "labels that share a softmax, summed, by keywords": (
        "each-label",
        loss_script(lambda m, x, y: F.cross_entropy(
            input=m(x) / 9, target=tags(x) * 0.9, reduction="sum")),
        loss_script(lambda m, x, y: F.binary_cross_entropy_with_logits(
            m(x) / 9, tags(x) * 0.9, reduction="sum")),
    ),
    "labels that share a softmax, row by row": (
        "each-label",
        loss_script(lambda m, x, y: (
            nn.CrossEntropyLoss(reduction="none")(m(x), tags(x)) * x[:, 0].exp()).mean()),
        loss_script(lambda m, x, y: (
            nn.BCEWithLogitsLoss(reduction="none")(m(x), tags(x)).mean(1) * x[:, 0].exp()).mean()),
    ),
    "labels of every place": (
        "each-label",
        loss_script(lambda m, x, y: nn.CrossEntropyLoss()(
            m(x)[:, :, None] * x[:, None, :2], tags(x)[:, :, None].expand(-1, -1, 2))),
        loss_script(lambda m, x, y: nn.BCEWithLogitsLoss()(
            m(x)[:, :, None] * x[:, None, :2], tags(x)[:, :, None].expand(-1, -1, 2))),
    ),
    "rates that are taken for logarithms": (
        "rates",
        loss_script(lambda m, x, y: F.poisson_nll_loss(F.softplus(m(x)), counts(x))),
        loss_script(lambda m, x, y: F.poisson_nll_loss(
            F.softplus(m(x)), counts(x), log_input=False)),
    ),
    "rates that are taken for logarithms, by place": (
        "rates",
        loss_script(lambda m, x, y: F.poisson_nll_loss(m(x).exp(), counts(x), True, True)),
        loss_script(lambda m, x, y: F.poisson_nll_loss(m(x).exp(), counts(x), False, True)),
    ),
    "logarithms that are taken for rates": (
        "log-rates",
        loss_script(lambda m, x, y: nn.PoissonNLLLoss(log_input=False, reduction="sum")(
            0.01 * m(x) + 1, counts(x))),
        loss_script(lambda m, x, y: nn.PoissonNLLLoss(reduction="sum")(
            0.01 * m(x) + 1, counts(x))),
    ),
    "a column against a row": (
        "same-shape",
        loss_script(lambda m, x, y: F.mse_loss(m(x), column(y).squeeze()), width=1),
        loss_script(lambda m, x, y: F.mse_loss(m(x)[:, 0], column(y)), width=1),
    ),
    "a column against a row, by hand": (
        "same-shape",
        loss_script(lambda m, x, y: ((m(x) - column(y)) ** 2).mean(), width=1),
        loss_script(lambda m, x, y: ((m(x)[:, 0] - column(y)) ** 2).mean(), width=1),
    ),
    "a row against a column": (
        "same-shape",
        loss_script(lambda m, x, y: (column(y) - m(x)).abs().mean(), width=1),
        loss_script(lambda m, x, y: (column(y) - m(x)[:, 0]).abs().mean(), width=1),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", WIRINGS)
def test_the_loss_is_wired_as_it_should_be(name):
    reading, original, edited = WIRINGS[name]
    equal(run(original, [LossWiring(reading)]), run(edited), 1e-12)
    different(run(original), run(edited))


@pytest.mark.parametrize("reading", sorted(READINGS))
def test_a_loss_that_fits_is_left_alone(reading):
    equal(run(script(), [LossWiring(reading)]), run(script()))


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", WIRINGS)
def test_a_step_can_be_replayed_under_the_wiring(name, tmp_path):
    reading, original, _ = WIRINGS[name]
    run(original, [LossWiring(reading), Recorder(tmp_path, tmp_path)])
    assert {row["flaw"] for row in Recording.read(tmp_path).samples} == {""}


CLASSES = [0.5, 2.0, 1.0]
WEIGHTED = {
    "cross-entropy": (
        CLASSES,
        loss_script(lambda m, x, y: F.cross_entropy(m(x), y)),
        loss_script(lambda m, x, y: F.cross_entropy(m(x), y, torch.tensor(CLASSES).double())),
    ),
    "likelihood": (
        CLASSES,
        loss_script(lambda m, x, y: F.nll_loss(m(x).log_softmax(1), y)),
        loss_script(lambda m, x, y: F.nll_loss(
            m(x).log_softmax(1), y, torch.tensor(CLASSES).double())),
    ),
    "two classes": (
        [1.0, 3.0],
        loss_script(lambda m, x, y: nn.BCEWithLogitsLoss()(m(x)[:, 0], column(y))),
        loss_script(lambda m, x, y: nn.BCEWithLogitsLoss(
            pos_weight=torch.tensor(3.0).double())(m(x)[:, 0], column(y))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTED)
def test_classes_are_weighted(name):
    weights, original, edited = WEIGHTED[name]
    equal(run(original, [ClassWeights(weights)]), run(edited), 1e-12)


def test_weights_of_the_scripts_own_are_kept():
    own = loss_script(lambda m, x, y: F.cross_entropy(m(x), y, torch.tensor(CLASSES).double()))
    equal(run(own, [ClassWeights([1.0, 1.0, 9.0])]), run(own))


# ------------------------------------------------------------------- modes and regularization


class Dropping(nn.Module):
    """Every kind of call that drops units, and a batch normalization."""

    def __init__(self, rate=0.5):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(rate)
        self.rnn = nn.GRU(4, 4, 2, dropout=rate)
        self.attention = nn.MultiheadAttention(4, 2, rate)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        h = self.drop(self.norm(x))[:, None]
        return self.head(self.attention(*[self.rnn(h)[0]] * 3)[0][:, 0])


def modal(train, evaluate, rate=0.5, decay=0.0, buffers=True):
    def inner():
        x, y = table()
        model = Dropping(rate).double()
        optimizer = SGD(model.parameters(), lr=0.1, weight_decay=decay)
        outs = []
        for _ in range(3):
            model.train(train)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            model.train(evaluate)
            with torch.no_grad():
                outs.append(model(x))
        counts = {"norm.num_batches_tracked"}  # counted by the module, which has its own mode
        return [*[v for k, v in model.state_dict().items() if k not in counts], *outs]

    return inner


def test_evaluation_is_as_after_eval():
    wanted = run(modal(train=True, evaluate=False))
    equal(run(modal(train=True, evaluate=True), [Mode("evaluation")]), wanted)
    different(run(modal(train=True, evaluate=True)), wanted)


def test_training_is_as_after_train():
    # in evaluation mode the module gives its rate to the GRU and takes it from the attention
    wanted = run(modal(train=True, evaluate=False))
    under = run(modal(train=False, evaluate=False), [Mode("training")])
    equal(under, wanted)


def test_attention_without_a_flag_drops_nothing_in_evaluation():
    q = torch.randn(2, 3, 4)

    def attend(rate):
        def inner():
            with torch.no_grad():
                return [F.scaled_dot_product_attention(q, q, q, None, rate)]

        return inner

    equal(run(attend(0.5), [Mode("evaluation")])[:1], run(attend(0.0))[:1])


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_dropout_and_decay_are_scaled_together(factor):
    under = run(modal(True, False, rate=0.5, decay=0.2), [Regularization(factor)])
    equal(under, run(modal(True, False, rate=0.5 * factor, decay=0.2 * factor)))


# ------------------------------------------------------------------------- safe operations

SINGULAR = {
    "sqrt": lambda x: (x * 0).sqrt(),
    "log": lambda x: torch.log(x * 0),
    "power": lambda x: (x * 0) ** 0.5,
    "acos": lambda x: torch.acos(x * 0 + 1),
    "division": lambda x: 1 / (x * 0 + 1) / (x * 0),
    "exp": lambda x: torch.exp(x * 0 + 1000.0),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_points_are_kept_away_from(name):
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)

    def slope():
        value = SINGULAR[name](x)
        return [value, torch.autograd.grad(value.sum(), x)[0]]

    value, gradient, _ = run(slope, [SafeOperations()])
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    value, gradient, _ = run(slope)
    assert not (value.isfinite().all() and gradient.isfinite().all())


def test_regular_points_stay_what_they_are():
    def values():
        x = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
        return [x.sqrt(), x.log(), x**0.5, x.acos(), 1 / x, x / -x, x.exp()]

    equal(run(values, [SafeOperations()]), run(values))


def test_rewriting_in_a_session_keeps_the_users_own_call_intact():
    x = torch.randn(3, 4, dtype=torch.float64)
    kept = x.clone()
    with Session([InputStandardization(GIVEN)]):
        nn.Linear(4, 2).double()(x).sum().backward()
    assert torch.equal(x, kept)
