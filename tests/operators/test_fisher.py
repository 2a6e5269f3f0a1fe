"""The Fishers: against Gauss-Newton where they are equal, expectations written out, many draws."""

from functools import partial

import pytest
import torch
from jacobian_references import dense_jacobian, output_of, sample_gradients
from networks import NETWORKS, SIZES, mlp, normal, relative, trainable
from torch import distributions as D
from torch import nn
from torch.nn import functional as F

from thalweg.operators import EmpiricalFisher, Fisher, GaussNewton, MonteCarloFisher


def net():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def ragged(targets):
    """Batches of 4, 4, 3 with the targets that `targets(n)` gives."""
    return [(normal(n, 4), targets(n)) for n in SIZES]


def labels(n):
    return torch.randint(0, 3, (n,))


def ones_and_zeros(n):
    return torch.randint(0, 2, (n, 3)).double()


def counts(n):
    return torch.randint(0, 5, (n, 3)).double()


def some_ignored(n):
    return torch.cat([torch.tensor([-100]), labels(n - 1)])


# Losses whose output is the natural parameter, with targets: Fisher and Gauss-Newton are equal.
NATURAL = {
    "cross entropy": (F.cross_entropy, labels),
    "cross entropy, summed": (nn.CrossEntropyLoss(reduction="sum"), labels),
    "cross entropy, some ignored": (nn.CrossEntropyLoss(), some_ignored),
    "cross entropy of probabilities": (F.cross_entropy, lambda n: normal(n, 3).softmax(1)),
    "squares": (nn.MSELoss(), lambda n: normal(n, 3)),
    "squares, summed": (partial(F.mse_loss, reduction="sum"), lambda n: normal(n, 3)),
    "two classes": (nn.BCEWithLogitsLoss(), ones_and_zeros),
    "counts": (nn.PoissonNLLLoss(), counts),
}


@pytest.mark.parametrize(
    ("kind", "memory"), [("cross entropy", 0), *((kind, None) for kind in NATURAL)]
)
def test_equals_gauss_newton_for_natural_parameters(kind, memory):
    loss, targets = NATURAL[kind]
    model, data = net(), ragged(targets)
    fisher = Fisher.of_model(model, loss, data, memory=memory)
    expected = GaussNewton.of_model(model, loss, data)
    assert relative(fisher.to_dense(), expected.to_dense()) < 1e-14
    assert fisher.loss == expected.loss
    torch.testing.assert_close(fisher.gradient, expected.gradient)
    assert fisher.facts == {"psd"}


@pytest.mark.parametrize("name", sorted(set(NETWORKS)))
def test_equals_gauss_newton_on_every_network_with_a_known_loss(name):
    model, loss, batches = NETWORKS[name]()
    if loss not in (F.mse_loss, F.cross_entropy):
        with pytest.raises(ValueError, match=r"distribution behind.*not known.*likelihood="):
            Fisher.of_model(model, loss, batches)
        return
    state = torch.get_rng_state()
    fisher = Fisher.of_model(model, loss, batches)
    torch.set_rng_state(state)
    expected = GaussNewton.of_model(model, loss, batches)
    assert relative(fisher.to_dense(), expected.to_dense()) < 1e-14


def test_classes_at_every_position_with_some_ignored():
    model = nn.Conv1d(2, 3, 2).double()
    data = [(normal(n, 2, 5), torch.randint(0, 3, (n, 4))) for n in SIZES]
    loss = nn.CrossEntropyLoss(ignore_index=2)
    fisher = Fisher.of_model(model, loss, data)
    expected = GaussNewton.of_model(model, loss, data)
    assert relative(fisher.to_dense(), expected.to_dense()) < 1e-14


def score_sum(model, x, table):
    """sum over samples and over a table of (probability, log p) of g g', written out."""
    params = trainable(model)
    total = 0.0
    for row in x:
        output = output_of(model, (row[None], None))(params)[0]
        for probability, surprise in table(output):
            found = torch.autograd.grad(
                surprise, list(params.values()), retain_graph=True, materialize_grads=True
            )
            g = torch.cat([part.reshape(-1) for part in found])
            total = total + float(probability.detach()) * torch.outer(g, g)
    return total / len(x)


def test_the_expectation_over_classes_written_out():
    model, x = net(), normal(5, 4)
    fisher = Fisher.of_model(model, F.cross_entropy, (x, labels(5)))
    expected = score_sum(
        model, x, lambda z: [(z.softmax(0)[y], -z.log_softmax(0)[y]) for y in range(3)]
    )
    assert relative(fisher.to_dense(), expected) < 1e-14


def test_log_probabilities_as_output():
    """Gauss-Newton is zero there; the Fisher is that of the logits."""
    model, x, y = net(), normal(5, 4), labels(5)
    fisher = Fisher.of_model(nn.Sequential(model, nn.LogSoftmax(1)), nn.NLLLoss(), (x, y))
    expected = GaussNewton.of_model(model, F.cross_entropy, (x, y))
    assert relative(fisher.to_dense(), expected.to_dense()) < 1e-14


def test_probabilities_as_output():
    model, x, y = net(), normal(5, 4), ones_and_zeros(5)
    fisher = Fisher.of_model(nn.Sequential(model, nn.Sigmoid()), nn.BCELoss(), (x, y))
    expected = GaussNewton.of_model(model, F.binary_cross_entropy_with_logits, (x, y))
    assert relative(fisher.to_dense(), expected.to_dense()) < 1e-13


def test_rates_as_output():
    """Poisson with the rate itself: J' diag(1 / rate) J, not the Gauss-Newton matrix."""
    model, x, y = nn.Sequential(net(), nn.Softplus()), normal(5, 4), counts(5)
    fisher = Fisher.of_model(model, nn.PoissonNLLLoss(log_input=False), (x, y))
    jacobian = dense_jacobian(output_of(model, (x, None)), trainable(model))
    expected = jacobian.T @ (jacobian / model(x).detach().reshape(-1, 1)) / 15
    assert relative(fisher.to_dense(), expected) < 1e-14


def gaussian_loss(output, y):
    """Mean over samples of -log N(y; mean, scale), both predicted."""
    mean, log_scale = output
    return (0.5 * ((y - mean) / log_scale.exp()) ** 2 + log_scale).sum(1).mean()


def gaussian(output):
    mean, log_scale = output
    return D.Independent(D.Normal(mean, log_scale.exp()), 1)


class MeanAndScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4).double()

    def forward(self, x):
        return self.body(x).tanh().chunk(2, 1)


def test_a_likelihood_of_ones_own():
    """Mean and log-scale of a Gaussian: the information is diag(1 / s^2, 2)."""
    model, data = MeanAndScale(), [(normal(n, 4), normal(n, 2)) for n in SIZES]
    fisher = Fisher.of_model(model, gaussian_loss, data, likelihood=gaussian)
    expected = 0.0
    for x, _ in data:
        jacobian = dense_jacobian(output_of(model, (x, None)), trainable(model))
        log_scale = model(x)[1].detach()
        weights = torch.cat([(-2 * log_scale).exp().reshape(-1), torch.full((2 * len(x),), 2.0)])
        expected = expected + jacobian.T @ (weights[:, None] * jacobian) / sum(SIZES)
    assert relative(fisher.to_dense(), expected) < 1e-14


DRAWS = 30


@pytest.mark.parametrize("kind", sorted(set(NATURAL) - {"cross entropy of probabilities"}))
def test_drawn_targets_give_the_fisher_in_expectation(kind):
    """v'Fv of many independent draws: the mean lies within 4 standard errors, never far off."""
    loss, targets = NATURAL[kind]
    model, data = net(), ragged(targets)[1:]
    truth = Fisher.of_model(model, loss, data)
    v = normal(truth.size)
    make = partial(MonteCarloFisher.of_model, model, loss, data, draws=4, check=False)
    values = torch.tensor([float(v @ (make(seed=s) @ v)) for s in range(DRAWS)])
    error = float(values.std()) / len(values) ** 0.5
    assert abs(float(values.mean()) - float(v @ (truth @ v))) < 4 * error
    # The bars are tight enough to notice a wrong factor.
    assert error < 0.15 * float(v @ (truth @ v))


def test_many_draws_come_close():
    model, data = net(), ragged(labels)
    truth = Fisher.of_model(model, F.cross_entropy, data).to_dense()
    few = MonteCarloFisher.of_model(model, F.cross_entropy, data, draws=10)
    many = MonteCarloFisher.of_model(model, F.cross_entropy, data, draws=2000)
    assert relative(many.to_dense(), truth) < 0.05 < relative(few.to_dense(), truth)
    assert many.facts == {"psd"}


def test_draws_belong_to_the_seed_and_the_batch():
    model, data = net(), ragged(labels)
    make = partial(MonteCarloFisher.of_model, model, F.cross_entropy)
    state = torch.get_rng_state()
    first, again = make(data, seed=3), make(data, seed=3, memory=0)
    other = make(data, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.to_dense(), again.to_dense())
    assert not torch.allclose(first.to_dense(), other.to_dense())
    alone = make(data[0]).to_dense()
    assert torch.equal(make([data[0]]).to_dense(), alone)
    assert not torch.allclose(make([data[0], data[0]]).to_dense(), alone)


def test_draws_of_a_distribution_without_closed_form():
    """Laplace: E of (sign)^2 = 1, so F = J' J / N, exactly, whatever is drawn."""
    model, (x, y) = nn.Linear(4, 1).double(), (normal(5, 4), normal(5, 1))
    fisher = MonteCarloFisher.of_model(
        model, nn.L1Loss(), (x, y), likelihood=lambda z: D.Laplace(z, torch.ones_like(z))
    )
    jacobian = dense_jacobian(output_of(model, (x, None)), trainable(model))
    assert relative(fisher.to_dense(), jacobian.T @ jacobian / 5) < 1e-14


def test_the_empirical_fisher_from_batches_of_one():
    model, loss, data = mlp()
    g = sample_gradients(model, loss, data, trainable(model))
    operator = EmpiricalFisher.of_model(model, loss, data)
    assert relative(operator.to_dense(), g.T @ g / len(g)) < 1e-14
    assert operator.facts == {"psd"}


REFUSALS = {
    "unknown": (lambda out, y: F.cross_entropy(out, y), {}, "not known.*likelihood="),
    "weights": (nn.CrossEntropyLoss(torch.ones(3).double()), {}, "has weight=.*GaussNewton"),
    "smoothing": (nn.CrossEntropyLoss(label_smoothing=0.1), {}, "has label_smoothing=0.1"),
    "another likelihood": (
        F.cross_entropy,
        {"likelihood": lambda z: D.Categorical(logits=2 * z)},
        "is not -log p.*differ by 0",
    ),
    "another reduction": (
        nn.CrossEntropyLoss(reduction="sum"),
        {"reduction": "mean"},
        "is not -log p",
    ),
    "no density there": (
        F.cross_entropy,
        {"likelihood": lambda z: D.Dirichlet(z.exp())},
        r"log_prob\(targets\) failed",
    ),
}


@pytest.mark.parametrize("kind", [Fisher, MonteCarloFisher])
@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_a_loss_that_is_no_log_likelihood(kind, case):
    loss, options, says = REFUSALS[case]
    with pytest.raises(ValueError, match=says):
        kind.of_model(net(), loss, ragged(labels), **options)


def test_the_check_of_the_likelihood_can_be_turned_off():
    model, data = net(), ragged(labels)
    doubled = Fisher.of_model(
        model, F.cross_entropy, data, likelihood=lambda z: D.Categorical(logits=2 * z), check=False
    )
    expected = GaussNewton.of_model(model, lambda z, y: F.cross_entropy(2 * z, y), data)
    assert relative(doubled.to_dense(), expected.to_dense()) < 1e-14


def test_a_divergence_with_a_kink_is_refused():
    data = (normal(5, 4), normal(5, 3))
    with pytest.raises(ValueError, match=r"two Laplace distributions.*MonteCarloFisher"):
        Fisher.of_model(
            net(), nn.L1Loss(), data, likelihood=lambda z: D.Laplace(z, torch.ones_like(z))
        )


def test_a_likelihood_must_be_a_distribution():
    with pytest.raises(TypeError, match=r"returned a Tensor.*Distribution"):
        Fisher.of_model(net(), F.cross_entropy, ragged(labels), likelihood=lambda z: z)


def test_at_least_one_draw():
    with pytest.raises(ValueError, match=r"draws=0"):
        MonteCarloFisher.of_model(net(), F.cross_entropy, ragged(labels), draws=0)
