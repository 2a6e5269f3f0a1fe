"""Several labels at once under one softmax: accused; every other share of classes is not."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.edits import edited
from thalweg.interventions import LossWiring
from thalweg.interventions.set_aside import SetAside
from thalweg.obstacles import loss_output_mismatch
from thalweg.obstacles.evidence import Evidence
from thalweg.recorder import Recorder, Recording, Session

ROWS, CLASSES = 40, 6


def made():
    torch.manual_seed(3)
    x = torch.randn(ROWS, 5, dtype=torch.float64)
    scores = x @ torch.randn(5, CLASSES, dtype=torch.float64)
    return x, scores


def one_hot(scores):
    return F.one_hot(scores.argmax(1), CLASSES).double()


def many(scores):
    return (scores > 0.5).double()


AT_ONCE = {
    "many": many,
    "few rows with two": lambda s: torch.maximum(one_hot(s), one_hot(-s) * (s[:, :1] > 1.5)),
    "doubted": lambda s: many(s) * 0.8,
    "votes": lambda s: torch.sigmoid(s),
}
ONE_AT_A_TIME = {
    "one hot": one_hot,
    "smoothed": lambda s: one_hot(s) * 0.9 + 0.1 / CLASSES,
    "mixed": lambda s: 0.3 * one_hot(s) + 0.7 * one_hot(s).flip(0),
    "of a teacher": lambda s: s.softmax(1),
    "of a teacher, in single precision": lambda s: s.float().softmax(1).double(),
    "with rows left out": lambda s: one_hot(s) * (s[:, :1] > 0),
    "weighted down": lambda s: one_hot(s) * torch.rand(ROWS, 1, dtype=torch.float64),
    "weighted up": lambda s: one_hot(s) * (1 + torch.rand(ROWS, 1, dtype=torch.float64)),
    "an equal share of many": lambda s: many(s) / many(s).sum(1, keepdim=True).clamp_min(1),
    "classes": lambda s: s.argmax(1),
}


def train(loss_of, listeners, steps=6):
    x, scores = made()
    model = nn.Linear(5, CLASSES).double()
    with Session(listeners):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model(x), scores).backward()
            optimizer.step()
    return model.weight.detach().clone()


def suspicion(loss_of, folder):
    train(loss_of, [Recorder(folder, folder)])
    return loss_output_mismatch.judge(Evidence(Recording.read(folder)))


@pytest.mark.parametrize("name", AT_ONCE)
def test_several_labels_at_once_are_seen(name, tmp_path):
    found = suspicion(lambda out, s: F.cross_entropy(out, AT_ONCE[name](s)), tmp_path)
    assert found is not None
    assert found.proofs == [(LossWiring("each-label"),)]
    largest = float(AT_ONCE[name](made()[1]).sum(1).max())
    assert f"{largest:.3g} in a row" in found.summary


@pytest.mark.parametrize("name", ONE_AT_A_TIME)
def test_shares_of_one_whole_are_no_labels_at_once(name, tmp_path):
    torch.manual_seed(0)
    assert suspicion(lambda out, s: F.cross_entropy(out, ONE_AT_A_TIME[name](s)), tmp_path) is None


OTHER_LOSSES = {
    "by itself": lambda out, s: F.binary_cross_entropy_with_logits(out, many(s)),
    "squares": lambda out, s: F.mse_loss(out, many(s)),
    "margins": lambda out, s: F.multilabel_soft_margin_loss(out, many(s)),
}


@pytest.mark.parametrize("name", OTHER_LOSSES)
def test_losses_that_take_each_label_by_itself(name, tmp_path):
    assert suspicion(OTHER_LOSSES[name], tmp_path) is None


def test_places_with_several_labels(tmp_path):
    def loss_of(out, scores):
        places = torch.stack([many(scores), many(-scores)], 2)
        return F.cross_entropy(torch.stack([out, -out], 2), places)

    assert suspicion(loss_of, tmp_path) is not None


LEFT_ALONE = {
    "classes": lambda out, s: F.cross_entropy(out, s.argmax(1)),
    "weights of classes": lambda out, s: F.cross_entropy(
        out, many(s), weight=torch.arange(1.0, CLASSES + 1, dtype=torch.float64)
    ),
    "another loss": lambda out, s: F.mse_loss(out, many(s)),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_the_wiring_leaves_alone(name):
    torch.manual_seed(1)
    plain = train(LEFT_ALONE[name], [])
    torch.manual_seed(1)
    assert torch.equal(train(LEFT_ALONE[name], [LossWiring("each-label")]), plain)


def test_samples_set_aside_stay_out_of_the_loss_of_each_label(tmp_path):
    def loss_of(out, scores):
        return F.cross_entropy(out, many(scores))

    under = train(loss_of, [SetAside(tmp_path, 0.25), LossWiring("each-label")])
    found = json.loads((tmp_path / "set_aside.json").read_text())
    assert found["why"] == ""
    assert found["samples"] > 0

    listener = SetAside(tmp_path, 0.25)
    alone = train(lambda out, s: F.binary_cross_entropy_with_logits(out, many(s)), [listener])
    torch.testing.assert_close(under, alone, rtol=1e-12, atol=1e-12)


SCRIPT = """
import torch
from torch import nn
from torch.nn import functional as F

net = nn.Linear(4, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
{making}
for x, tags in [(torch.randn(8, 4), torch.randn(8, 3).gt(0).float())] * 3:
    loss = {loss}
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
{after}
"""
NN, OTHER = "criterion = nn.CrossEntropyLoss({})", "criterion(net(x), tags)"
PLAIN = NN.format("")
EVALUATION = "with torch.no_grad():\n    print({})"


def script(loss=OTHER, making=PLAIN, after=""):
    return SCRIPT.format(loss=loss, making=making, after=after)


EDITED = {
    "an object": (script(), script(making="criterion = nn.BCEWithLogitsLoss()")),
    "a function": (
        script("F.cross_entropy(net(x), target=tags)"),
        script("F.binary_cross_entropy_with_logits(net(x), target=tags)"),
    ),
    "where it is evaluated too": (
        script(after=EVALUATION.format(OTHER)),
        script(making="criterion = nn.BCEWithLogitsLoss()", after=EVALUATION.format(OTHER)),
    ),
}
REFUSED = {
    "smoothing": script(making=NN.format("label_smoothing=0.1")),
    "another reduction": script(making=NN.format("reduction='none'")),
    "weights": script("F.cross_entropy(net(x), tags, torch.ones(3))"),
    "two losses": script(f"{OTHER} + F.cross_entropy(net(x), tags.argmax(1))"),
    "no loss": script("net(x).sum()"),
}


@pytest.mark.parametrize("name", EDITED)
def test_the_edit_swaps_the_loss(name):
    before, after = EDITED[name]
    edit = edited(before, [LossWiring("each-label")])
    assert edit.left == ()
    assert edit.source == after


@pytest.mark.parametrize("name", REFUSED)
def test_an_edit_that_would_guess_is_refused(name):
    edit = edited(REFUSED[name], [LossWiring("each-label")])
    assert edit is None or (edit.made == () and edit.source == REFUSED[name])
