"""Batches that a script cuts itself: mixed with those before, data and targets in step."""

import pytest
import torch
from scripts_and_edits import equal, run
from torch import nn
from torch.nn import functional as F

from thalweg.interventions import InterventionError, Shuffling
from thalweg.interventions.set_aside import SetAside
from thalweg.recorder import Listener

SAMPLES, BATCH, EPOCHS = 60, 10, 5


class Watch(Listener):
    """What reaches the first layer and the loss, batch by batch, in training."""

    def __init__(self):
        self.data, self.targets, self.evaluated = [], [], []

    def called(self, call, result):
        if call.name in ("linear", "embedding"):
            data = call.args[0] if call.name == "embedding" else call.args[0][:, 0]
            (self.data if torch.is_grad_enabled() else self.evaluated).append(data.detach().clone())
        elif call.name == "mse_loss":
            self.targets.append(call.args[1].clone())


def table():
    return [([float(i), 1.0], 2.0 * i) for i in range(SAMPLES)]


def lists(rows):
    for at in range(0, len(rows), BATCH):
        x, y = zip(*rows[at : at + BATCH], strict=True)
        yield torch.tensor(x), torch.tensor(y)


def one_by_one(rows):
    for at in range(0, len(rows), BATCH):
        part = rows[at : at + BATCH]
        yield torch.stack([torch.tensor(x) for x, _ in part]), torch.tensor([y for _, y in part])


def split(rows):
    x, y = torch.tensor([x for x, _ in rows]), torch.tensor([y for _, y in rows])
    yield from zip(x.split(BATCH), y.split(BATCH), strict=True)


def reused(rows):
    """One buffer that the script fills again and again."""
    x, y = torch.empty(BATCH, 2), torch.empty(BATCH)
    for data, target in lists(rows):
        yield x.copy_(data), y.copy_(target)


CUTS = {one.__name__: one for one in (lists, one_by_one, split, reused)}


def training(cut, loss=lambda model, x, y: F.mse_loss(model(x)[:, 0], y)):
    def inner():
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
        for _ in range(EPOCHS):
            for x, y in cut(table()):
                optimizer.zero_grad()
                loss(model, x, y).backward()
                optimizer.step()
            with torch.no_grad():
                model(torch.tensor([x for x, _ in table()]))
        return list(model.parameters())

    return inner


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_batches_are_drawn_from_all_samples_from_the_second_pass_on(cut):
    watch = Watch()
    *_, state = run(training(cut), [Shuffling(), watch])
    data, targets = torch.stack(watch.data), torch.stack(watch.targets)
    assert torch.equal(targets, 2 * data), "data and targets are in step"
    assert set(data.unique().tolist()) <= {float(i) for i in range(SAMPLES)}
    each = SAMPLES // BATCH
    own = torch.arange(each).repeat(EPOCHS)[:, None] == data // BATCH
    assert own[:2].all(), "the first batches tell whether there are loaders or rows"
    later = own[2 * each :].double().mean()
    assert later == pytest.approx(1 / each, abs=4 * (1 / each / (3 * SAMPLES)) ** 0.5 + 0.05)
    counts = data[2 * each :].flatten().long().bincount(minlength=SAMPLES)
    assert (counts > 0).sum() > 0.85 * SAMPLES
    assert torch.equal(state, run(training(cut))[-1]), "the script's own stream was touched"
    assert all(torch.equal(one, torch.arange(60.0)) for one in watch.evaluated)


def test_the_samples_are_the_same_every_time():
    equal(run(training(lists), [Shuffling()]), run(training(lists), [Shuffling()]))


def test_a_state_that_every_sample_begins_with_is_left_alone():
    def recurrent():
        torch.manual_seed(0)
        cell = nn.GRU(3, 4, batch_first=True).double()
        letters, head = nn.Embedding(SAMPLES, 3).double(), nn.Linear(4, 1).double()
        given = [*cell.parameters(), *letters.parameters(), *head.parameters()]
        optimizer = torch.optim.SGD(given, lr=1e-6)
        for _ in range(2):
            for at in range(0, SAMPLES, BATCH):
                text = torch.tensor([list(range(i, i + 1)) for i in range(at, at + BATCH)])
                state = torch.zeros(1, BATCH, 4, dtype=torch.float64)
                states, _ = cell(letters(text), state)
                F.mse_loss(head(states[:, -1])[:, 0], 2.0 * text[:, 0].double()).backward()
                optimizer.step()
        return []

    class Texts(Watch):
        def called(self, call, result):
            if call.name == "embedding":
                self.data.append(call.args[0][:, 0].clone())
            elif call.name == "mse_loss":
                self.targets.append(call.args[1].clone())

    watch = Texts()
    run(recurrent, [Shuffling(), watch])
    data, targets = torch.stack(watch.data), torch.stack(watch.targets)
    assert torch.equal(targets, 2.0 * data)
    assert (data[6:] // BATCH != torch.arange(6)[:, None]).any()


def in_pieces(model, x, y):
    return F.mse_loss(model(x)[:, 0] + model(x + 1)[:, 0], y)


def two_targets(model, x, y):
    out = model(x)[:, 0]
    return F.mse_loss(out, y) + F.mse_loss(out, y**2)


@pytest.mark.parametrize(
    "loss, says", [(in_pieces, "several pieces"), (two_targets, "several targets")]
)
def test_what_cannot_be_kept_in_step_is_refused(loss, says):
    with pytest.raises(InterventionError, match=says):
        run(training(lists, loss), [Shuffling()])


def test_samples_of_several_sizes_are_refused():
    def growing():
        model = nn.Embedding(9, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
        for width in range(2, 6):
            text = torch.arange(8).reshape(4, 2).repeat(1, width)[:, : width + 1]
            F.mse_loss(model(text).sum((1, 2)), torch.arange(4.0)).backward()
            optimizer.step()
        return []

    with pytest.raises(InterventionError, match="different sizes"):
        run(growing, [Shuffling()])


def test_batches_stay_while_samples_are_set_aside(tmp_path):
    apart = run(training(lists), [SetAside(tmp_path, 0.2), Shuffling()])
    equal(apart, run(training(lists), [SetAside(tmp_path, 0.2)]))
