"""What writers are given, held to numbers computed beside it; and that the run does not notice."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import thalweg
from thalweg.watching.writing import scalars_of

STEPS, BROKEN = 12, 9
EVERY_STEP = 1000.0  # a budget under which every second step is seen in full


class Notes:
    """A writer that remembers."""

    def __init__(self):
        self.rows, self.alerts, self.closed = {}, [], 0

    def scalars(self, values, step):
        self.rows[step] = dict(values)

    def alert(self, title, text, level, step):
        self.alerts.append((title, level, step))

    def close(self):
        self.closed += 1


class Gambler(Notes):
    """A writer that draws random numbers, as one that invents names for runs does."""

    def scalars(self, values, step):
        super().scalars(values, step)
        random.random(), np.random.rand(), torch.rand(3)


class Failing(Notes):
    def scalars(self, values, step):
        super().scalars(values, step)
        raise OSError("disk full")


def train(writers=None, broken=None):
    """Losses and reference scalars of a run with weight decay, random inputs and dying units."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)).double()
    nn.init.constant_(net[0].bias, -50.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, weight_decay=0.1)
    expected, losses = {}, []

    def run():
        for step in range(STEPS):
            inputs = torch.rand(16, 4, dtype=torch.float64) + np.random.rand() + random.random()
            if step == broken:
                inputs[0, 0] = float("nan")
            optimizer.param_groups[0]["lr"] = 0.05 / (step + 1)
            loss = (net(inputs) - 1).square().mean()
            optimizer.zero_grad()
            loss.backward()
            before = nn.utils.parameters_to_vector(net.parameters()).detach().clone()
            gradient = torch.cat([p.grad.reshape(-1) for p in net.parameters()])
            optimizer.step()
            moved = nn.utils.parameters_to_vector(net.parameters()).detach() - before
            losses.append(loss.item())
            expected[step] = {
                "thalweg/loss": loss.item(),
                "thalweg/learning-rate": 0.05 / (step + 1),
                "thalweg/gradient-norm": gradient.norm().item(),
                "thalweg/weight-norm": before.norm().item(),
                "thalweg/update-norm": moved.norm().item(),
                "thalweg/update-over-weight": (moved.norm() / before.norm()).item(),
            }

    if writers is None:
        run()
        return losses, expected, None
    with thalweg.watch(budget=EVERY_STEP, writers=writers) as watching:
        run()
    return losses, expected, watching.data


def test_scalars_are_what_the_step_was():
    notes = Notes()
    _, expected, _ = train([notes])
    assert len(notes.rows) >= 5
    for step, values in notes.rows.items():
        assert values == pytest.approx(expected[step], rel=1e-12), step


def test_what_breaks_and_what_is_suspected_is_told_once_to_every_writer(capsys):
    one, two = Notes(), Notes()
    _, _, data = train([one, two], broken=BROKEN)
    suspected = [s["cause"] for s in data["watched"]["suspicions"]]
    assert "dead-units" in suspected
    assert one.alerts[0] == ("Training broke", "error", BROKEN)
    assert one.alerts[1:] == [
        (f"Suspected, not proved: {cause}", "warn", STEPS - 1) for cause in suspected
    ]
    assert two.alerts == one.alerts
    assert (one.closed, two.closed) == (1, 1)
    later = [values for step, values in one.rows.items() if step > BROKEN]
    assert all(np.isfinite([*values.values()]).all() for values in later)


def test_a_writer_changes_nothing_in_the_run():
    plain, _, _ = train()
    watched, _, _ = train([Gambler()])
    assert watched == plain


def test_a_writer_that_fails_is_asked_no_more_and_the_others_go_on(capsys):
    failing, notes = Failing(), Notes()
    losses, _, data = train([failing, notes])
    assert len(failing.rows) == 1 < len(notes.rows)
    assert (failing.closed, notes.closed) == (0, 1)
    assert losses == train()[0]
    assert data["budget"]["trouble"] == ["Failing: OSError: disk full"]
    assert "Failing: OSError: disk full; it is asked no more" in capsys.readouterr().err


@pytest.mark.parametrize("which, prefix", [(0, "thalweg/"), (2, "thalweg/optimizer-2/")])
def test_each_optimizer_has_its_own_curves(which, prefix):
    part = {"norm": 3.0, "update": 0.3, "gradient": None, "trained": True}
    frozen = part | {"norm": 100.0, "trained": False}
    row = {"optimizer": which, "step": 0, "loss": None, "rate": 0.1}
    row["parameters"] = [part, part | {"norm": 4.0, "update": 0.4}, frozen]
    assert scalars_of(row) == pytest.approx(
        {
            prefix + "learning-rate": 0.1,
            prefix + "weight-norm": 5.0,
            prefix + "update-norm": 0.5,
            prefix + "update-over-weight": 0.1,
        }
    )
