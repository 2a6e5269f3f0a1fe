"""A loss that a script writes down itself is a loss where it is evaluated, whatever is in it."""

import pytest
import torch
from torch import distributions, nn
from torch.nn import functional as F

from thalweg.recorder import Session
from thalweg.recorder.readings import Readings
from thalweg.recorder.trails import behind, of_graph

LINES = {
    "normal": lambda z, y: -distributions.Normal(z[:, 0], z[:, 1].exp()).log_prob(y).mean(),
    "laplace": lambda z, y: -distributions.Laplace(z[:, 0], 1.0).log_prob(y).mean(),
    "poisson": lambda z, y: -distributions.Poisson(z[:, 0].exp()).log_prob(y.abs().round()).mean(),
    "bernoulli": lambda z, y: -distributions.Bernoulli(logits=z[:, 0]).log_prob(
        y.sign().relu()
    ).mean(),
    "categorical": lambda z, y: -distributions.Categorical(logits=z).log_prob((y > 0) * 1).mean(),
    "mixture": lambda z, y: -distributions.MixtureSameFamily(
        distributions.Categorical(logits=z[:, :2]),
        distributions.Normal(z[:, 2:4], z[:, 4:].exp()),
    ).log_prob(y).sum(),
    "by hand": lambda z, y: (0.5 * ((y - z[:, 0]) / z[:, 1].exp()) ** 2 + z[:, 1]).mean(),
    "of outputs alone": lambda z, y: (z[:, 0] * z[:, 1]).sigmoid().log().mean(),
    "by PyTorch": lambda z, y: F.gaussian_nll_loss(z[:, 0], y, z[:, 1].exp()),
}  # fmt: skip


def evaluated(line, evaluation=None, without=torch.no_grad):
    """What is read of a network that was trained by one line and evaluated by another."""
    torch.manual_seed(0)
    network = nn.Linear(3, 6)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    x, y = torch.randn(40, 3), torch.randn(40)
    readings = Readings(__file__.rpartition("/")[0])
    with Session([readings]):
        for _ in range(2):
            optimizer.zero_grad()
            line(network(x[:30]), y[:30]).backward()
            optimizer.step()
        with without():
            value = (evaluation or line)(network(x[30:]), y[30:]).item()
    return [(one.kind, one.total) for one in readings.readings], value


@pytest.mark.parametrize("without", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("name", LINES)
def test_the_loss_that_is_trained_is_a_loss_where_it_is_evaluated(name, without):
    found, value = evaluated(LINES[name], without=without)
    assert found == [("loss", pytest.approx(value))]


@pytest.mark.parametrize(
    ("evaluation", "kind"),
    [
        (lambda z, y: ((z[:, 0] > 0) == (y > 0)).float().mean(), "accuracy"),
        (lambda z, y: (z[:, 0] - y).square().mean().sqrt(), "error"),
        (lambda z, y: -(z[:, 0] - y).abs().max(), "score"),
        (lambda z, y: ((z[:, 0] > 0) & (y > 0)).float().mean(), "rate"),
    ],
)
def test_what_else_is_evaluated_is_what_it_was(evaluation, kind):
    found, _ = evaluated(LINES["normal"], evaluation)
    assert found[0][0] == kind


def test_a_share_is_no_loss_though_it_ends_as_one():
    def line(z, y):
        return (z[:, 0] * y).tanh().sum() / 30

    def share(z, y):
        return (z[:, 0] * y > 0).tanh().sum() / 30

    assert evaluated(line)[0][-1][0] == "loss"
    assert evaluated(line, share)[0][-1][0] == "rate"


def test_the_trail_of_a_graph_is_that_of_the_calls():
    x = torch.randn(4, requires_grad=True)
    loss = -(((x.exp() * 2).view(2, 2) / 3).mean())
    assert of_graph(loss) == ("div", "mean", "neg")
    trail = ()
    for name in ("exp", "__mul__", "view", "__truediv__", "mean", "__neg__", "detach", "item"):
        trail = behind(trail, name)
    assert trail == of_graph(loss)
    assert of_graph(x) == ()
