"""Terms added to a loss count less: the script under it is the script edited by hand."""

import pytest
import torch
from scripts_and_edits import different, equal, run, script
from torch.nn import functional as F

from thalweg.interventions import Penalty
from thalweg.interventions.intervention import InterventionError

FACTOR = 0.25


def by_cross_entropy(model, x, y):
    return F.cross_entropy(model(x), y)


def by_hand(model, x, y):
    return ((model(x) - F.one_hot(y, 3)) ** 2).mean()


def likelihood(model, x, y):
    mean, rough = model(x)[:, 0], model(x)[:, 1]
    return -torch.distributions.Normal(mean, 1 + rough.square()).log_prob(x[:, 0]).mean()


DATA = {"cross-entropy": by_cross_entropy, "squares": by_hand, "likelihood": likelihood}


def squares_of_weights(model, x):
    return sum(p.square().sum() for p in model.parameters())


def how_far_from(model, x):
    anchors = [torch.full_like(p, 0.3) for p in model.parameters()]
    return sum((p - a).abs().sum() for p, a in zip(model.parameters(), anchors, strict=True))


def divergence(model, x):
    code = torch.distributions.Normal(model(x), torch.ones(3).double())
    prior = torch.distributions.Normal(torch.zeros(3).double(), torch.ones(3).double())
    return torch.distributions.kl_divergence(code, prior).sum(1).mean()


ADDED = {"weights": squares_of_weights, "anchor": how_far_from, "divergence": divergence}


def last(data, added, weight):
    return data + weight * added


def first(data, added, weight):
    return weight * added + data


def in_place(data, added, weight):
    data += weight * added
    return data


def subtracted(data, added, weight):
    return data - (-weight * added)


def twice(data, added, weight):
    return data + weight / 2 * added + weight / 2 * added


WAYS = [last, first, in_place, subtracted, twice]


def training(data, added, way, weight):
    return script(
        steps=4,
        lr=0.01,
        loss_of=lambda model, x, y: way(data(model, x, y), added(model, x), weight),
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED)
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_what_is_added_counts_less(data, added, way):
    found = run(training(data, added, way, 0.1), [Penalty(FACTOR)])
    equal(found, run(training(data, added, way, FACTOR * 0.1)), rtol=1e-12)
    different(found, run(training(data, added, way, 0.1)))


def mean_of_two(model, x, y):
    """Two losses of the data: neither is a penalty."""
    return by_cross_entropy(model, x, y) + by_hand(model, x, y)


@pytest.mark.parametrize("loss", [by_cross_entropy, by_hand, mean_of_two])
def test_a_loss_of_the_data_alone_is_refused(loss):
    with pytest.raises(InterventionError, match="nothing is added to the loss"):
        run(script(loss_of=loss), [Penalty(FACTOR)])


def test_an_evaluation_is_left_as_it_is():
    seen = []

    def loss(model, x, y):
        with torch.no_grad():
            seen.append(float(by_hand(model, x, y) + squares_of_weights(model, x)))
            seen.append(float(by_hand(model, x, y)) + float(squares_of_weights(model, x)))
        return by_hand(model, x, y) + squares_of_weights(model, x)

    run(script(loss_of=loss, lr=0.001), [Penalty(0.0)])
    assert seen[::2] == pytest.approx(seen[1::2], rel=1e-12)


@pytest.mark.parametrize("factor", [-0.1, 1.0, 2.0])
def test_other_factors_are_refused(factor):
    with pytest.raises(InterventionError, match="give 0 up to less than 1"):
        Penalty(factor)
