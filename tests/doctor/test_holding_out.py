"""A script that evaluates nothing: whether samples are set aside, and what is found with them."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_runs import run

from thalweg.doctor import diagnose
from thalweg.doctor.examination import Examination
from thalweg.doctor.findings import compared_by, measure_name
from thalweg.doctor.holding_out import MEASURE, refusal, says, share
from thalweg.recorder import Recording

ENOUGH = {"samples": 200, "visits": 2000, "repeats": 0, "expected_repeats": 150.0, "largest": 20,
          "passes": 100, "unseen": 0}  # fmt: skip

# what is different from that, and what is said
REFUSALS = {
    "nothing": ({}, ""),
    "unseen": ({"unseen": 1}, "sample by sample"),
    "few": ({"samples": 19}, "only 19 different samples"),
    "just enough": ({"samples": 20, "largest": 20}, ""),
    "once": ({"samples": 2000}, "hardly a sample comes twice"),
    "an epoch and a bit": ({"visits": 290}, "hardly a sample comes twice"),
    "two epochs": ({"visits": 400}, ""),
    "drawn with replacement": ({"repeats": 160}, ""),
    "repeated": ({"repeats": 400}, "several times"),
    "each three times": ({"largest": 600, "expected_repeats": 1300.0}, "several times"),
    "no passes": ({"passes": 0}, "no loss"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_samples_are_set_aside_only_where_they_tell_something(name):
    changed, words = REFUSALS[name]
    why = refusal(ENOUGH | changed)
    assert (words in why) if words else why == ""


def test_a_run_without_counts_was_cut_off():
    assert "cut off" in refusal({})


@pytest.mark.parametrize(
    "samples, wanted", [(20, 0.25), (80, 0.25), (100, 0.2), (200, 0.1), (10_000, 0.1)]
)
def test_the_share_leaves_twenty_out_or_a_tenth(samples, wanted):
    assert share({"samples": samples}) == pytest.approx(wanted)


FALLING = [1.0 - i / 100 for i in range(60)]


class Watched:
    """A bench whose watched runs are given: the script as it is, and with samples set aside."""

    def __init__(self, *runs):
        self.given = list(runs)
        self.runner = SimpleNamespace(import_seconds=0.0, jobs=1)
        self.max_steps, self.max_seconds, self.set_aside, self.shares = None, 60.0, 0.0, []

    def watch(self, changed, max_seconds):
        self.shares.append(self.set_aside)
        return self.given.pop(0)


def made(evaluations=(), ended="finished", **known):
    """A run with these counts, or what became of samples set aside."""
    found = run(FALLING, evaluations)
    outcome = replace(found.outcome, ended=ended)
    return replace(found, outcome=outcome, recording=replace(found.recording, **known))


def watched(*runs):
    bench = Watched(*runs)
    found = Examination(bench, Path("train.py"), (), (), 100.0, 0.0)
    found.watch()
    return found, bench


ASIDE = {"share": 0.1, "samples": 20, "why": ""}


def test_the_run_with_samples_set_aside_is_the_one_to_compare_with():
    aside = made(set_aside=ASIDE)
    found, bench = watched(made(counts=ENOUGH), aside)
    assert found.base is aside
    assert found.measure == MEASURE
    assert bench.shares == [0.0, 0.1]
    assert bench.set_aside == 0.1
    assert measure_name(found) == "loss of samples set aside"
    assert "set aside" in compared_by(found)


@pytest.mark.parametrize(
    "aside, words",
    [
        ({"set_aside": ASIDE | {"why": "it does not"}}, "it does not"),
        ({}, "did not come to its end"),
        ({"set_aside": ASIDE, "ended": "crashed"}, "did not come to its end"),
    ],
)
def test_what_tells_nothing_is_not_compared_by(aside, words):
    plain = made(counts=ENOUGH)
    found, bench = watched(plain, made(**aside))
    assert found.base is plain
    assert found.measure is None
    assert bench.set_aside == 0.0
    assert measure_name(found) == "training loss"
    assert words in compared_by(found)


def test_a_script_of_one_pass_is_run_once():
    found, bench = watched(made(counts=ENOUGH | {"visits": 200}))
    assert bench.shares == [0.0]
    assert "training loss: hardly a sample comes twice" in compared_by(found)


def test_a_script_with_an_evaluation_of_its_own_is_left_alone():
    found, bench = watched(made([0.5, 0.9], counts=ENOUGH))
    assert bench.shares == [0.0]
    assert found.measure == ("train.py:30", "accuracy")
    assert compared_by(found) == ""


def test_a_recording_keeps_both_files(tmp_path):
    (tmp_path / "samples.json").write_text(json.dumps(ENOUGH))
    row = {"site": MEASURE[0], "kind": "loss", "training": False, "step": 3, "value": 0.5}
    (tmp_path / "set_aside.json").write_text(json.dumps(ASIDE | {"readings": [row]}))
    found = Recording.read(tmp_path)
    assert (found.counts, found.set_aside) == (ENOUGH, ASIDE)
    assert found.series(MEASURE) == [(3, 0.5)]


def test_what_is_said_of_either():
    assert "loss of samples" in says("")
    assert says("there is one").endswith("training loss: there is one.")


OVERFITS = """
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(300, 30)
y = 0.5 * x[:, 0] + torch.randn(300)
model = nn.Sequential(nn.Linear(30, 100), nn.ReLU(), nn.Linear(100, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
for epoch in range(30):
    for rows in torch.randperm(300).split(50):
        loss = ((model(x[rows]).squeeze(1) - y[rows]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
"""
SOUND = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(400, 6)
y = (x @ torch.randn(6, 3) + 0.3 * torch.randn(400, 3)).argmax(1)
loader = DataLoader(TensorDataset(x, y), batch_size=40, shuffle=True)
model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for epoch in range(10):
    for xs, ys in loader:
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(xs), ys)
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
"""


def diagnosed(folder, source, **options):
    path = folder / "train.py"
    path.write_text(source)
    return diagnose(path, budget=600, control=False, **options)


@pytest.mark.usefixtures("imported_once")
def test_a_script_that_evaluates_nothing_is_found_to_overfit(tmp_path):
    found = diagnosed(tmp_path, OVERFITS, only=["overfitting"])
    assert found.verdict == "obstructed", found.reason
    first = found.data["findings"][0]
    assert first["cause"] == "overfitting"
    assert first["verified"]["held"]
    assert first["verified"]["measure"] == "loss of samples set aside"
    assert "set aside" in found.data["compared_by"]


@pytest.mark.slow
@pytest.mark.usefixtures("imported_once")
def test_a_sound_script_that_evaluates_nothing_is_accused_of_nothing(tmp_path):
    found = diagnosed(tmp_path, SOUND)
    assert found.verdict == "healthy", found.reason
    assert "set aside" in found.data["compared_by"]
