"""The bench: every run is made once, within the budget, and read back as plain data."""

import json
import math
import time
from pathlib import Path

import pytest
from made_runs import SITE, run

from thalweg.doctor.runs import Bench, Wanted, name_of
from thalweg.interventions import Clipping, LearningRate, OtherSign
from thalweg.recorder.curve import POINTS
from thalweg.trials import Outcome, Trial
from thalweg.trials import Progress as TrialProgress

SLOW, CLIP = (LearningRate(0.1),), (Clipping(1.0),)


class FakeRunner:
    """Hands out outcomes without running anything, and remembers what it was asked for."""

    def __init__(self, folder: Path):
        self.folder, self.asked, self.deadlines = folder, [], []
        self.jobs = 1

    def trial(self, name, **options):
        return Trial(name, self.folder / "train.py", **options)

    def run(self, trials, on_progress, deadline):
        self.asked += trials
        self.deadlines.append(deadline)
        outcomes = []
        for done, trial in enumerate(trials, 1):
            folder = self.folder / str(len(self.asked)) / str(done)
            folder.mkdir(parents=True)
            row = {"optimizer": 0, "step": 0, "rate": 0.1, "loss": 1.0}
            (folder / "steps.jsonl").write_text(json.dumps(row) + "\n")
            outcomes.append(
                Outcome(trial, folder, "finished", 0, "", 1.0, 1.0, folder / "o", folder / "e")
            )
            on_progress(TrialProgress(done, len(trials), (trial.name,), 0.0))
        return outcomes


@pytest.fixture
def heard():
    return []


@pytest.fixture
def bench(tmp_path, heard):
    tell = lambda *words: heard.append(words)
    return Bench(FakeRunner(tmp_path), 0, time.monotonic() + 60, tell, max_steps=50, max_seconds=7)


def test_no_run_is_made_twice(bench):
    first = bench.make([Wanted(SLOW), Wanted(CLIP)], "Trying")
    again = bench.make([Wanted(CLIP), Wanted(SLOW), Wanted(SLOW, 1)], "Trying")
    assert [one.name for one in bench.runner.asked] == [name_of(SLOW), name_of(CLIP), name_of(SLOW)]
    assert again[:2] == [first[1], first[0]]
    assert again[2].seed == 1


def test_the_same_run_asked_for_twice_at_once_is_made_once(bench):
    a, b = bench.make([Wanted(SLOW), Wanted(SLOW)], "Trying")
    assert a is b
    assert bench.planned == 1


def test_nothing_wanted_is_nothing_made(bench, heard):
    assert bench.make([], "Trying") == []
    assert (bench.runner.asked, heard) == ([], [])


def test_a_trial_has_its_budget_and_its_interventions(bench):
    bench.make([Wanted(SLOW, 2)], "Trying")
    (trial,) = bench.runner.asked
    assert (trial.max_steps, trial.max_seconds, trial.seed_shift) == (50, 7, 2)
    (instrument,) = trial.instruments
    assert instrument["interventions"] == [SLOW[0].as_data()]
    assert instrument["full"] is False
    assert bench.runner.deadlines == [bench.deadline]


def test_the_base_changes_nothing_and_is_seen_in_full(bench):
    base = bench.watch((), 3.0)
    (trial,) = bench.runner.asked
    assert trial.instruments[0]["full"] is True
    assert trial.instruments[0]["interventions"] == []
    assert trial.max_seconds == 3.0
    assert (base.name, base.interventions, base.seed) == ("as it is", (), 0)


def test_seeds_are_counted_from_the_one_that_was_asked_for(tmp_path):
    bench = Bench(FakeRunner(tmp_path), 5, time.monotonic() + 60, lambda *_: None)
    bench.make([Wanted(SLOW), Wanted(SLOW, 2)], "Trying")
    assert [one.seed_shift for one in bench.runner.asked] == [5, 7]


def test_progress_counts_on_over_several_calls(bench, heard):
    bench.watch((), 3.0)
    bench.make([Wanted(SLOW), Wanted(CLIP)], "Trying")
    slow, clip = name_of(SLOW), name_of(CLIP)
    assert heard[-2:] == [(f"Trying: {slow}", 2, 3), (f"Trying: {clip}", 3, 3)]


def test_progress_says_what_is_tried_and_why(bench, heard):
    bench.make([Wanted(SLOW, 0, "learning-rate-too-high")], "Trying")
    assert heard == [(f"Trying: {name_of(SLOW)} (learning-rate-too-high)", 1, 1)]


def test_ceilings_are_for_changes_that_keep_the_loss(bench):
    bench.ceilings = [(10, 3.0)]
    bench.watch(SLOW, 3.0)
    bench.make([Wanted(SLOW), Wanted((OtherSign(),)), Wanted((), 1)], "Trying")
    given = [one.instruments[0]["ceilings"] for one in bench.runner.asked]
    assert given == [[], [[10, 3.0]], [], []]


def test_seconds_left_run_out(bench):
    assert 0 < bench.seconds_left <= 60
    bench.deadline = time.monotonic() - 1
    assert bench.seconds_left < 0


def test_a_run_as_plain_data_is_strict_json():
    made = run([2.0, math.nan, 1.0], [0.5, math.nan], SLOW, seed=2)
    data = made.as_data((SITE, "accuracy"), math.inf, 0)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["loss"] == {"steps": [0, 1, 2], "values": [2.0, None, 1.0]}
    assert data["measure"]["values"] == [[2, 0.5], [3, None]]
    assert (data["score"], data["gain"], data["seed"], data["steps"]) == (None, None, 2, 3)
    assert data["interventions"] == [SLOW[0].as_data()]


def test_a_run_without_a_measure_scores_by_its_training_loss():
    data = run([2.0] * 5).as_data(None, 0.25, 0)
    assert (data["measure"], data["score"], data["gain"]) == (None, 2.0, 0.25)


@pytest.mark.parametrize("length", [1, 399, 400, 401, 1000, 12_345])
def test_long_curves_are_thinned_to_means(length):
    losses = [float(i) for i in range(length)]
    curve = run(losses).as_data(None, None, 0)["loss"]
    stretch = math.ceil(length / POINTS)
    assert curve["steps"] == list(range(0, length, stretch))
    assert len(curve["values"]) == len(curve["steps"]) <= POINTS
    assert curve["values"][0] == pytest.approx((min(stretch, length) - 1) / 2)


def test_a_leap_is_not_thinned_away():
    losses = [1.0] * 1000
    losses[501] = 901.0
    values = run(losses).as_data(None, None, 0)["loss"]["values"]
    assert max(values) == pytest.approx(301.0)


def test_names_say_what_is_changed():
    assert name_of(()) == "as it is"
    assert name_of((*SLOW, *CLIP)) == f"{SLOW[0].name()} and {CLIP[0].name()}"
    assert name_of(SLOW) != name_of((LearningRate(0.01),))
