"""Sums over samples' gradients: empirical Fisher and gradient covariance, from batches of one."""

import pytest
import torch
from jacobian_references import dense_jacobian, output_of, sample_gradients
from networks import NETWORKS, mlp, normal, relative, trainable
from torch import nn
from torch.nn import functional as F

from thalweg.operators import EmpiricalFisher, Fisher, GradientCovariance, MonteCarloFisher
from thalweg.operators.linearization import Linearization

# Networks where one sample's output does not depend on the others in its batch.
ALONE = [
    "mlp",
    "encoder_layer_in_eval_mode",
    "attention",
    "tied",
    "frozen",
    "unused",
    "recurrent",
]
KINDS = [EmpiricalFisher, GradientCovariance]


def from_gradients(kind, g):
    """The matrix written out from the samples' gradients, (N, n)."""
    centred = g if kind is EmpiricalFisher else g - g.mean(0)
    return centred.T @ centred / len(g)


@pytest.mark.parametrize(("name", "memory"), [("mlp", None), *((name, 0) for name in ALONE)])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_sum_over_batches_of_one(name, kind, memory):
    model, loss, data = NETWORKS[name]()
    g = sample_gradients(model, loss, data, trainable(model))
    operator = kind.of_model(model, loss, data, memory=memory)
    assert relative(operator.to_dense(), from_gradients(kind, g)) < 1e-12
    v = normal(operator.size)
    assert relative(operator @ v, from_gradients(kind, g) @ v) < 1e-12
    torch.testing.assert_close(operator.gradient, g.mean(0), rtol=1e-11, atol=1e-14)
    assert operator.facts == {"psd"}


@pytest.mark.parametrize("kind", KINDS)
def test_one_batch(kind):
    model, loss, data = mlp()
    g = sample_gradients(model, loss, data[:1], trainable(model))
    assert relative(kind.of_model(model, loss, data[0]).to_dense(), from_gradients(kind, g)) < 1e-14


def test_batch_statistics_are_part_of_every_samples_loss():
    """Batch norm in train mode: the rows of the batch's own Jacobian, all samples present."""
    model, _, data = NETWORKS["convolution_and_batch_norm_in_train_mode"]()
    x, y = data[0]
    jacobian = dense_jacobian(output_of(model, data[0]), trainable(model)).reshape(len(x), 3, -1)
    z = model(x).detach()
    u = z.softmax(1) - F.one_hot(y, 3)
    g = (u[:, :, None] * jacobian).sum(1)
    for kind in KINDS:
        operator = kind.of_model(model, F.cross_entropy, data[0])
        assert relative(operator.to_dense(), from_gradients(kind, g)) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_that_is_a_sum(kind):
    model, loss, data = mlp()
    g = sample_gradients(model, loss, data, trainable(model))
    operator = kind.of_model(model, nn.CrossEntropyLoss(reduction="sum"), data)
    factor = len(g) if kind is EmpiricalFisher else 1
    assert relative(operator.to_dense(), factor * from_gradients(kind, g)) < 1e-13


def test_several_outputs_and_inputs():
    model, loss, data = NETWORKS["several_inputs_and_outputs"]()
    rows = []
    for (x, z), y in data:
        for n in range(len(x)):
            one = slice(n, n + 1)
            output = output_of(model, ((x[one], z[one]), y[one]))(trainable(model))
            found = torch.autograd.grad(loss(output, y[one]), list(trainable(model).values()))
            rows.append(torch.cat([part.reshape(-1) for part in found]))
    for kind in KINDS:
        operator = kind.of_model(model, loss, data)
        assert relative(operator.to_dense(), from_gradients(kind, torch.stack(rows))) < 1e-13


class Tokens(nn.Module):
    """Scores of a token for every position, sequences joined or not."""

    def __init__(self, joined):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5)
        self.joined = joined

    def forward(self, ids):
        z = self.head(self.embed(ids).cumsum(1).tanh())
        return z.flatten(0, 1) if self.joined else z


def token_loss(out, ids):
    """Mean over sequences of the mean over tokens."""
    return F.cross_entropy(out.reshape(-1, 5), ids.reshape(-1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_is_one_sample(kind):
    model = Tokens(joined=False).double()
    data = [(ids := torch.randint(0, 5, (n, 4)), ids.roll(1, 1)) for n in (3, 2)]
    g = sample_gradients(model, token_loss, data, trainable(model))
    operator = kind.of_model(model, token_loss, data)
    assert relative(operator.to_dense(), from_gradients(kind, g)) < 1e-13


def test_rows_may_belong_to_samples_in_runs():
    """Joined sequences: four rows of the output are one sample, if told so."""
    model = Tokens(joined=True).double()
    ids = torch.randint(0, 5, (3, 4))
    g = sample_gradients(model, token_loss, [(ids, ids)], trainable(model))
    for kind in KINDS:
        operator = kind(
            output_of(model, (ids, ids)),
            lambda out: token_loss(out, ids),
            trainable(model),
            samples=3,
        )
        assert relative(operator.to_dense(), from_gradients(kind, g)) < 1e-13


def test_the_mean_is_that_of_all_the_data():
    """Batches with means far apart: the noise between them counts."""
    x = torch.cat([normal(3, 1), normal(2, 1) + 100])
    model = nn.Linear(1, 1, bias=False).double()
    loss = lambda out, y: (out * y).mean()
    y = torch.ones(5, 1, dtype=torch.float64)
    operator = GradientCovariance.of_model(model, loss, [(x[:3], y[:3]), (x[3:], y[3:])])
    assert operator.to_dense().item() == pytest.approx(float(x.var(correction=0)), rel=1e-14)


def test_nothing_cancels_where_noise_is_small():
    """Gradients that differ in their eighth digit, in single precision."""
    x = 1 + 2.0**-20 * torch.arange(8.0).reshape(8, 1)
    data = (x, torch.ones(8, 1))
    model = nn.Linear(1, 1, bias=False)
    operator = GradientCovariance.of_model(model, lambda out, y: (out * y).mean(), data)
    expected = float(x.double().var(correction=0))
    assert operator.to_dense().item() == pytest.approx(expected, rel=1e-3)
    assert operator.exact_trace() == pytest.approx(expected, rel=1e-3)


TRACED = [EmpiricalFisher, GradientCovariance, MonteCarloFisher]


@pytest.mark.parametrize("kind", TRACED)
@pytest.mark.parametrize(("memory", "at_once"), [(None, 1), (None, 3), (0, 1000)])
def test_the_trace_is_exact(kind, memory, at_once, monkeypatch):
    model, loss, data = mlp()
    operator = kind.of_model(model, loss, data, memory=memory)
    monkeypatch.setattr(Linearization, "at_once", at_once)
    assert operator.exact_trace() == pytest.approx(float(operator.to_dense().trace()), rel=1e-13)


def test_an_operator_without_an_exact_trace_says_so():
    model, loss, data = mlp()
    assert Fisher.of_model(model, loss, data).exact_trace() is None


def contrast(out, y):
    """Pulls every output towards the mean of its batch."""
    return (out - out.mean(0)).square().mean()


def ranking(out, y):
    """Piecewise linear between neighbours: no second derivative shows the coupling."""
    return (out - out.roll(1, 0)).abs().mean()


@pytest.mark.parametrize("loss", [contrast, ranking])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [2, 3, 4])
def test_a_loss_that_couples_samples_is_refused(loss, kind, samples):
    model, x = nn.Linear(3, 2).double(), normal(samples, 3)
    with pytest.raises(ValueError, match=rf"{kind.__name__}: the loss couples samples"):
        kind.of_model(model, loss, (x, x))
    kind.of_model(model, loss, (x, x), check=False)


def test_a_single_sample_is_coupled_to_nobody():
    model, x = nn.Linear(3, 2).double(), normal(1, 3)
    assert (
        float(GradientCovariance.of_model(model, F.mse_loss, (x, normal(1, 2))).to_dense().norm())
        < 1e-15
    )


def test_an_output_without_samples_is_refused():
    with pytest.raises(ValueError, match=r"shape \(\).*first axis must hold the samples"):
        EmpiricalFisher(lambda p: p["w"].sum(), lambda z: z**2, {"w": torch.ones(2)})
    with pytest.raises(ValueError, match=r"shape \(5, 2\), and the batch 2 samples"):
        EmpiricalFisher(
            lambda p: p["w"], lambda z: z.pow(2).mean(), {"w": torch.ones(5, 2)}, samples=2
        )


@pytest.mark.parametrize("kind", KINDS)
def test_targets_that_do_not_count(kind):
    """The mean is over the S targets that count; N samples vary, the ignored ones at zero."""
    model, loss, data = mlp()
    data = [(x, y.clone()) for x, y in data]
    data[0][1][:2] = -100
    data[2][1][1] = -100
    rows = []
    for x, y in data:
        for one, label in zip(x, y, strict=True):
            value = -model(one).log_softmax(0)[label] if label >= 0 else 0 * model(one).sum()
            found = torch.autograd.grad(value, list(model.parameters()))
            rows.append(torch.cat([part.reshape(-1) for part in found]))
    g, counted = torch.stack(rows), sum(int((y >= 0).sum()) for _, y in data)
    total = counted if kind is EmpiricalFisher else len(g)
    operator = kind.of_model(model, loss, data)
    # of T times a sample's share of the mean
    expected = from_gradients(kind, g * total / counted) * len(g) / total
    assert relative(operator.to_dense(), expected) < 1e-13
    assert operator.exact_trace() == pytest.approx(float(expected.trace()), rel=1e-13)
