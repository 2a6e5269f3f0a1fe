"""Samples set aside: training is that of the script from which they were removed by hand."""

import json

import pytest
import torch
from held_out_styles import SAMPLES, STYLES, network, table
from torch import nn
from torch.nn import functional as F

from thalweg.interventions import ClassWeights, PermutedTargets, TrimmedLoss
from thalweg.interventions.set_aside import SetAside
from thalweg.interventions.set_aside_curve import Curve
from thalweg.recorder import Recorder, Recording, Session
from thalweg.recorder.recording import SET_ASIDE, name_of_measure

SHARE = 0.25
EPOCHS = 3


def batches(seed=0, size=20, without=frozenset()):
    """Row numbers, newly shuffled in each epoch."""
    random = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(EPOCHS):
        for rows in torch.randperm(SAMPLES, generator=random).split(size):
            found.append(torch.tensor([int(one) for one in rows if int(one) not in without]))
    return found


def trained(style, given, listeners=(), watch=lambda rows, outputs: None):
    """What the style trains on these batches."""
    torch.manual_seed(7)
    if not listeners:
        return [one.detach().clone() for one in style(given, watch)]
    with Session(list(listeners)):
        return [one.detach().clone() for one in style(given, watch)]


class Ungraded:
    """Which rows no gradient came back to: once for each batch."""

    def __init__(self):
        self.found = []

    def __call__(self, rows, outputs):
        outputs.register_hook(lambda gradient: self._note(rows, gradient))

    def _note(self, rows, gradient):
        size = len(rows)
        axis = 0 if gradient.shape[0] == size else 1
        none = ~gradient.movedim(axis, 0).reshape(size, -1).any(1)
        self.found.append({int(one) for one in rows[none]})

    def by_epoch(self):
        each = len(self.found) // EPOCHS
        return [set().union(*self.found[i * each : i * each + each]) for i in range(EPOCHS)]


@pytest.mark.parametrize("name", STYLES)
def test_the_script_is_the_one_without_them(name, tmp_path):
    ungraded = Ungraded()
    found = trained(STYLES[name], batches(), [SetAside(tmp_path, SHARE)], ungraded)
    out, *others = ungraded.by_epoch()
    assert 2 <= len(out) <= SAMPLES // 2
    if name != "as_a_module":  # there ignored targets have no gradient either
        assert all(one == out for one in others)
    by_hand = trained(STYLES[name], batches(without=out))
    for one, wanted in zip(found, by_hand, strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-12)
    whole = trained(STYLES[name], batches())
    assert any(not torch.allclose(one, other) for one, other in zip(found, whole, strict=True))
    told = json.loads((tmp_path / "set_aside.json").read_text())
    assert told["why"] == ""
    if name != "as_a_module":
        assert told["samples"] == len(out)


@pytest.mark.parametrize("seed, size", [(1, 20), (2, 40), (3, 13)])
def test_the_same_samples_are_out_in_any_order_and_batch(seed, size, tmp_path):
    style = STYLES["cross_entropy"]
    epochs = []
    for given in (batches(), batches(seed, size)):
        ungraded = Ungraded()
        trained(style, given, [SetAside(tmp_path, SHARE)], ungraded)
        epochs += ungraded.by_epoch()
    assert all(one == epochs[0] for one in epochs)


def told(folder):
    return json.loads((folder / "set_aside.json").read_text())


def values(folder):
    return [one["value"] for one in told(folder)["readings"]]


WHOLE = [torch.arange(SAMPLES)] * 5
EACH = {
    "cross_entropy": lambda out, x, y: F.cross_entropy(out, y, reduction="none"),
    "summed": lambda out, x, y: F.cross_entropy(out, y, reduction="none"),
    "squares_by_hand": lambda out, x, y: (out - x[:, :3]).square().mean(1),
    "two_heads": lambda out, x, y: (
        F.cross_entropy(out[:, :3], y, reduction="none") + (out[:, 3] - x[:, 2]) ** 2
    ),
}


@pytest.mark.parametrize("name", EACH)
def test_what_is_read_is_the_mean_loss_of_those_out(name, tmp_path):
    ungraded, outputs = Ungraded(), []

    def watch(rows, out):
        outputs.append(out.detach().clone())
        ungraded(rows, out)

    trained(STYLES[name], WHOLE, [SetAside(tmp_path, SHARE)], watch)
    x, y = table()
    out = sorted(ungraded.found[0])
    wanted = [float(EACH[name](one, x, y)[out].mean()) for one in outputs]
    assert values(tmp_path) == pytest.approx(wanted, rel=1e-12)
    assert [one["step"] for one in told(tmp_path)["readings"]] == list(range(len(WHOLE)))
    assert {one["count"] for one in told(tmp_path)["readings"]} == {len(out)}


def of_classes(out, x, y):
    return F.cross_entropy(out, y)


def standing_still(loss, make=network):
    """A script that never moves: what is read changes with what is done to the reading alone."""

    def train(given, watch):
        x, y = table()
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        for rows in given:
            optimizer.zero_grad()
            loss(model(x[rows]), x[rows], y[rows]).backward()
            optimizer.step()
        model.eval()
        watch(None, model(x).detach())
        return model.parameters()

    return train


DISGUISES = {
    "permuted targets": PermutedTargets(),
    "trimmed": TrimmedLoss(0.3),
    "weighted classes": ClassWeights([1.0, 5.0, 0.2]),
}


@pytest.mark.parametrize("name", DISGUISES)
def test_those_out_are_read_as_the_script_has_them_whatever_a_trial_changes(name, tmp_path):
    style = standing_still(of_classes)
    trained(style, WHOLE, [SetAside(tmp_path, SHARE)])
    wanted = values(tmp_path)
    trained(style, WHOLE, [SetAside(tmp_path, SHARE), DISGUISES[name]])
    assert values(tmp_path) == pytest.approx(wanted, rel=1e-12)


def test_a_trial_trims_the_loss_of_the_others(tmp_path):
    ungraded = Ungraded()
    style = STYLES["cross_entropy"]
    trained(style, WHOLE, [SetAside(tmp_path, SHARE)], ungraded)
    without = [torch.tensor([i for i in range(SAMPLES) if i not in ungraded.found[0]])] * 5
    found = trained(style, WHOLE, [SetAside(tmp_path, SHARE), TrimmedLoss(0.3)])
    by_hand = trained(style, without, [TrimmedLoss(0.3)])
    for one, wanted in zip(found, by_hand, strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-12)


def test_dropout_leaves_those_alone_that_are_known_to_be_out(tmp_path):
    def noisy():
        layers = (nn.Linear(4, 30), nn.Dropout(0.5, inplace=True), nn.Linear(30, 3))
        return nn.Sequential(*layers).double()

    seen = []
    style = standing_still(of_classes, noisy)
    trained(style, WHOLE, [SetAside(tmp_path, SHARE)], lambda _, out: seen.append(out))
    first, *rest = values(tmp_path)
    ungraded = Ungraded()
    trained(STYLES["cross_entropy"], WHOLE, [SetAside(tmp_path, SHARE)], ungraded)
    out = sorted(ungraded.found[0])
    in_evaluation = float(F.cross_entropy(seen[0][out], table()[1][out]))
    assert rest == pytest.approx([in_evaluation] * len(rest), rel=1e-12)
    assert abs(first - in_evaluation) > 1e-6


def test_an_update_of_none_but_those_out_has_no_gradient(tmp_path):
    one_by_one = [torch.tensor([i]) for _ in range(2) for i in range(SAMPLES)]
    ungraded = Ungraded()
    trained(STYLES["cross_entropy"], WHOLE, [SetAside(tmp_path, SHARE)], ungraded)
    left = [rows for rows in one_by_one if int(rows) not in ungraded.found[0]]
    style = STYLES["bare_tensors"]
    found = trained(style, one_by_one, [SetAside(tmp_path, SHARE)])
    for one, wanted in zip(found, trained(style, left), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-12)


COUPLED = {
    "a term without targets": lambda out, x, y: (
        F.mse_loss(out, x[:, :3]) + 0.1 * out.square().mean()
    ),
    "contrasted with the others": lambda out, x, y: F.cross_entropy(
        out @ out.T, torch.arange(len(out))
    ),
    "centered": lambda out, x, y: F.cross_entropy(out - out.mean(0), y),
}


@pytest.mark.parametrize("name", COUPLED)
def test_a_loss_that_those_out_still_act_on_says_so(name, tmp_path):
    trained(standing_still(COUPLED[name]), WHOLE, [SetAside(tmp_path, SHARE)])
    assert "acts on the loss of the others" in told(tmp_path)["why"]


def test_statistics_of_a_batch_may_count_their_data(tmp_path):
    def normalized():
        layers = (nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
        return nn.Sequential(*layers).double()

    trained(standing_still(of_classes, normalized), WHOLE, [SetAside(tmp_path, SHARE)])
    assert told(tmp_path)["why"] == ""


UNREAD = {
    "no targets": lambda out, x, y: out.square().mean(),
    "columns added up first": lambda out, x, y: (out - x.repeat(1, 10)).square().sum(0).mean(),
    "each against each": lambda out, x, y: (out[:, :1] - x[:, 0]).square().mean(),
    "rows that changed places": lambda out, x, y: (
        (out - x.repeat(1, 10))[:, 0][torch.randperm(len(y))].abs().mean()
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_loss_that_is_not_of_single_samples_is_never_read(name, tmp_path):
    style = standing_still(UNREAD[name], lambda: network(SAMPLES))
    trained(style, WHOLE, [SetAside(tmp_path, SHARE)])
    assert "no update was seen" in told(tmp_path)["why"]
    assert told(tmp_path)["readings"] == []


def test_the_step_can_be_played_again(tmp_path):
    made = Recorder(tmp_path, tmp_path, [lambda step: {"again": float(step.loss(step.before))}])
    trained(STYLES["cross_entropy"], WHOLE, [SetAside(tmp_path, SHARE), made])
    found = Recording.read(tmp_path)
    assert [one["flaw"] for one in found.samples] == [""] * len(found.samples)
    assert [one["probes"]["again"] for one in found.samples] == pytest.approx(
        [one["loss"] for one in found.samples]
    )
    assert len(found.series((SET_ASIDE, "loss"))) == len(WHOLE)
    assert found.measure() == (SET_ASIDE, "loss")
    assert name_of_measure(found.measure()) == "loss of samples set aside"


def curve_of(points):
    found = Curve()
    for step, loss, visits in points:
        found.add(step, torch.tensor(loss, dtype=torch.float64), visits)
    return found


# points (step, mean loss, visits), how many samples, and the readings (step, mean loss, visits)
CURVES = {
    "every update has all": ([(0, 3.0, 4), (1, 2.0, 4)], 4, [(0, 3.0, 4), (1, 2.0, 4)]),
    "two updates an epoch": (
        [(0, 4.0, 1), (1, 2.0, 3), (2, 8.0, 2), (3, 4.0, 2)], 4, [(1, 2.5, 4), (2, 6.0, 4)]
    ),
    "left over at the beginning": (
        [(0, 9.0, 1), (1, 1.0, 2), (2, 3.0, 2)], 4, [(2, 2.0, 4)]
    ),
    "shorter than an epoch": ([(0, 1.0, 1), (2, 3.0, 1)], 9, [(1, 2.0, 2)]),
    "not finite": ([(0, 1.0, 2), (1, float("nan"), 2)], 2, [(0, 1.0, 2), (1, None, 2)]),
    "nothing": ([], 3, []),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
def test_readings_are_over_all_samples_and_end_with_the_run(name):
    points, samples, wanted = CURVES[name]
    found = curve_of(points).readings(samples)
    assert [(one["step"], one["value"], one["count"]) for one in found] == wanted


def test_a_long_run_has_two_hundred_readings():
    found = curve_of([(i, float(i), 1) for i in range(21_000)]).readings(10)
    assert 190 <= len(found) <= 200
    assert sum(one["count"] for one in found) >= 20_800
    for one in found:
        assert one["value"] == pytest.approx(one["step"], abs=1)
