"""Targets, losses and activations put in: the script under them is the script edited by hand."""

import pytest
import torch
from scripts_and_edits import different, equal, network, run, script, table
from torch import nn
from torch.nn import functional as F

from thalweg.interventions import (
    ActivationSwap,
    InsertedActivation,
    InterventionError,
    PermutedTargets,
    TrimmedLoss,
)


def column(y):
    return y.double()


def trimmed_by_hand(each, share):
    """The mean of the lowest, by sorting."""
    each = each.reshape(len(each), -1).mean(1)
    kept = [float(one) for one in each.detach().sort().values]
    limit = kept[-(-round((1 - share) * len(kept) * 1e6) // 10**6) - 1]
    return each[each <= limit].mean()


LOSSES = {
    "cross-entropy": (
        lambda m, x, y: F.cross_entropy(m(x), y),
        lambda m, x, y: F.cross_entropy(m(x), y, reduction="none"),
    ),
    "module": (
        lambda m, x, y: nn.CrossEntropyLoss()(m(x), y),
        lambda m, x, y: F.cross_entropy(m(x), y, reduction="none"),
    ),
    "squares of rows": (
        lambda m, x, y: F.mse_loss(m(x), x[:, :3]),
        lambda m, x, y: (m(x) - x[:, :3]) ** 2,
    ),
    "absolute": (
        lambda m, x, y: nn.L1Loss()(m(x)[:, 0], column(y)),
        lambda m, x, y: (m(x)[:, 0] - column(y)).abs(),
    ),
    "two classes": (
        lambda m, x, y: F.binary_cross_entropy_with_logits(m(x)[:, 0], (y > 0).double()),
        lambda m, x, y: F.softplus(m(x)[:, 0] * (1 - 2 * (y > 0).double())),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_worst_of_a_batch_do_not_count(name):
    loss, each = LOSSES[name]
    wanted = run(script(loss_of=lambda m, x, y: trimmed_by_hand(each(m, x, y), 0.3)))
    equal(run(script(loss_of=loss), [TrimmedLoss(0.3)]), wanted, 1e-12)
    different(run(script(loss_of=loss)), wanted)


def test_trimming_begins_when_it_is_told_to():
    loss, each = LOSSES["cross-entropy"]
    step = iter(range(100))
    late = lambda m, x, y: trimmed_by_hand(each(m, x, y), 0.3) if next(step) >= 2 else loss(m, x, y)
    equal(run(script(loss_of=loss), [TrimmedLoss(0.3, 2)]), run(script(loss_of=late)), 1e-12)


NOT_TRIMMED = {
    "weights": lambda m, x, y: F.cross_entropy(m(x), y, torch.ones(3).double()),
    "a sum": lambda m, x, y: F.cross_entropy(m(x), y, reduction="sum") / 40,
    "by hand": lambda m, x, y: (m(x) - x[:, :3]).square().mean(),
}


@pytest.mark.parametrize("name", NOT_TRIMMED)
def test_a_loss_that_is_no_plain_mean_is_refused(name):
    with pytest.raises(InterventionError, match="no mean over examples"):
        run(script(loss_of=NOT_TRIMMED[name]), [TrimmedLoss(0.3)])


TARGETED = {
    "classes": (lambda m, x, y: F.cross_entropy(m(x), y), lambda seen: seen),
    "keywords": (lambda m, x, y: F.cross_entropy(input=m(x), target=y), lambda seen: seen),
    "by hand": (lambda m, x, y: (m(x)[:, 0] - column(y)).square().mean(), lambda seen: seen),
    "the other way round": (lambda m, x, y: (column(y) - m(x)[:, 0]).square().mean(), None),
}


class Constant(nn.Module):
    """Outputs that do not depend on the inputs: no order of the targets matters to it."""

    def __init__(self):
        super().__init__()
        self.out = nn.Parameter(torch.randn(3))

    def forward(self, x):
        return self.out.expand(len(x), 3)


@pytest.mark.parametrize("name", TARGETED)
def test_targets_are_dealt_out_anew_and_stay_the_same_ones(name):
    loss, _ = TARGETED[name]
    constant = {"make": lambda: Constant().double(), "loss_of": loss}
    equal(run(script(**constant), [PermutedTargets()]), run(script(**constant)), 1e-12)
    different(run(script(loss_of=loss), [PermutedTargets()]), run(script(loss_of=loss)))


def test_permuted_targets_leave_evaluation_alone():
    def evaluated():
        x, y = table()
        model = network()
        F.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            return [F.cross_entropy(model(x), y)]

    equal(run(evaluated, [PermutedTargets()]), run(evaluated))


def test_a_script_without_targets_is_refused():
    with pytest.raises(InterventionError, match="no call was seen"):
        run(script(loss_of=lambda m, x, y: m(x).square().mean()), [PermutedTargets()])


def linear_pair():
    return nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)).double()


@pytest.mark.parametrize("to", ["relu", "tanh", "gelu"])
def test_an_activation_is_put_between_layers(to):
    between = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}[to]
    wanted = run(
        script(make=lambda: nn.Sequential(nn.Linear(4, 6), between(), nn.Linear(6, 3)).double())
    )
    equal(run(script(make=linear_pair), [InsertedActivation(to, [0], 2)]), wanted)
    different(run(script(make=linear_pair)), wanted)


def test_a_hidden_activation_is_taken_out():
    def doubled(*second):
        return lambda: nn.Sequential(
            nn.Linear(4, 6), nn.Tanh(), *second, nn.Linear(6, 3)
        ).double()  # fmt: skip

    change = ActivationSwap("identity", [1], 2)
    assert "activation 2 (of 2" in ActivationSwap("identity", [0], 2).says().replace("1 (", "2 (")
    under = run(script(make=doubled(nn.Sigmoid())), [change])
    equal(under[-4:], run(script(make=doubled()))[-4:])
