"""What a recorder writes, and what is read back."""

import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from observing import recorded, run, samples
from torch import nn
from torch.nn import functional as F
from training_programs import PROGRAMS, descend, network, table

from thalweg.recorder import Recorder, Recording
from thalweg.recorder.recorder import FLUSH
from thalweg.recorder.rounds import Rounds
from thalweg.recorder.samples import in_full

PLAIN = ["raw_loop", "functional", "gradients_by_hand", "gradients_assigned", "closure"]


def trained(steps):
    """Plain training for some steps."""

    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        descend(model, optimizer, x, y, say, steps)
        return model.parameters()

    return program


def test_losses_are_those_that_the_script_prints(tmp_path):
    for name in (*PLAIN, "loader"):
        outcome, recording = recorded(PROGRAMS[name], tmp_path)
        printed = [float(said) for said in outcome.said if said.replace(".", "").isdigit()]
        if name == "loader":
            three = [sum(recording.losses()[3 * i : 3 * i + 3]) / 3 for i in range(3)]
            assert three == pytest.approx(printed[::2])
        else:
            assert recording.losses() == pytest.approx(printed[: len(recording.losses())])


def test_a_scaled_loss_is_recorded_as_it_is_meant(tmp_path):
    outcome, recording = recorded(PROGRAMS["scaled_loss"], tmp_path)
    printed = [float(said.strip("()").split(",")[0]) for said in outcome.said]
    made = [loss for loss in printed if math.isfinite(loss)]  # the scaler skips the other
    assert recording.losses() == pytest.approx(made)


def test_accumulated_losses_are_added_up(tmp_path):
    outcome, recording = recorded(PROGRAMS["accumulation"], tmp_path)
    parts = [float(said) for said in outcome.said]
    sums = [sum(parts[3 * i : 3 * i + 3]) for i in range(4)]
    assert recording.losses() == pytest.approx(sums)
    assert [row["passes"] for row in recording.samples] == [3, 3, 3, 3]


def test_gradients_for_another_purpose_are_no_step(tmp_path):
    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            (100 * model(x).square().sum()).backward()  # a saliency map, say
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            say(loss.item())
        return model.parameters()

    outcome, recording = recorded(program, tmp_path)
    assert recording.losses() == pytest.approx([float(said) for said in outcome.said])
    assert [row["passes"] for row in recording.samples] == [1, 1, 1, 1]


def test_every_optimizer_has_its_own_rows(tmp_path):
    outcome, recording = recorded(PROGRAMS["adversaries"], tmp_path)
    assert recording.optimizers == [0, 1]
    making, judging = ([row for row in recording.steps if row["optimizer"] == i] for i in (0, 1))
    pairs = [eval(said) for said in outcome.said]
    assert [row["loss"] for row in judging] == pytest.approx([judge for judge, _ in pairs])
    assert [row["loss"] for row in making] == pytest.approx([maker for _, maker in pairs])
    assert [row["flaw"] for row in recording.samples] == [""] * 8


ROUNDS = {
    "one optimizer": ("AAAA", [1, 1, 1, 1]),
    "two in turn": ("ABABAB", [0, 1, 0, 1, 0, 1]),
    "one more often": ("AABAAB", [0, 1, 0, 1, 0, 1]),
    "one after the other has ended": ("AABBBBBBBB", [0, 1, 0, 1, 0, 1, 1, 1, 1, 1]),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_rounds_end_when_all_have_stepped_or_one_again(name):
    order, wanted = ROUNDS[name]
    own = {one: torch.optim.SGD([torch.zeros(1, requires_grad=True)]) for one in set(order)}
    rounds, found = Rounds(), []
    for at, one in enumerate(order):
        found.append(int(rounds.ended_by(own[one], len(set(order) - set(order[: at + 1])))))
    assert found == wanted


def test_which_steps_are_written_in_full():
    found = [step for step in range(100) if in_full(step)]
    assert found == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96]


def test_steps_in_full_follow_the_schedule(tmp_path):
    _, recording = recorded(trained(20), tmp_path)
    assert [row["step"] for row in recording.samples] == [0, 1, 2, 3, 4, 6, 8, 12, 16]
    assert [row["step"] for row in recording.steps] == list(range(20))


def test_a_mere_trial_writes_no_step_in_full(tmp_path):
    _, recording = recorded(trained(5), tmp_path, full=False)
    assert recording.samples == []
    assert len(recording.losses()) == 5


def test_rows_are_strict_json_with_rates(tmp_path):
    outcome, recording = recorded(PROGRAMS["scheduler_and_groups"], tmp_path)
    assert len(samples(tmp_path)) == len(recording.samples) == 5
    rates = [eval(said)[0] for said in outcome.said if said.startswith("[")]
    assert [row["rate"] for row in recording.steps][1:] == pytest.approx(rates[:-1])


def test_a_loss_that_explodes_is_written_without_breaking_json(tmp_path):
    def program(say):
        w = torch.tensor([1e30], requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=float("inf"))
        for _ in range(3):
            optimizer.zero_grad()
            (w**4).sum().backward()
            optimizer.step()
        return [w]

    _, recording = recorded(program, tmp_path)
    assert samples(tmp_path)
    assert recording.steps[0]["rate"] is None
    assert all(math.isnan(loss) for loss in recording.losses())


def test_a_row_in_full_holds_the_norms_of_the_step(tmp_path):
    kept = {}

    def program(say):
        torch.manual_seed(3)
        x, y = table()
        model = nn.Linear(5, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        kept["before"] = model.weight.detach().clone()
        kept["gradient"] = model.weight.grad.clone()
        optimizer.step()
        kept["after"] = model.weight.detach().clone()
        return model.parameters()

    _, recording = recorded(program, tmp_path)
    (row,) = recording.samples
    weight = row["parameters"][0]
    assert weight["name"] == "weight"
    assert weight["shape"] == [3, 5]
    assert weight["norm"] == pytest.approx(kept["before"].norm().item())
    assert weight["gradient"] == pytest.approx(kept["gradient"].norm().item())
    assert weight["update"] == pytest.approx((kept["after"] - kept["before"]).norm().item())
    assert weight["zeros"] == 0.0
    assert weight["trained"] is True
    assert [layer["kind"] for layer in row["layers"]] == ["linear"]
    assert row["ending"]["kind"] == "cross_entropy"


def test_a_killed_run_leaves_its_lines(tmp_path):
    script = f"""
        import os, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_recording import trained
        from observing import run
        from thalweg.recorder import Recorder
        kill = lambda steps: os._exit(9) if steps == {2 * FLUSH + 7} else None
        recorder = Recorder(Path({str(tmp_path)!r}), Path({str(tmp_path)!r}), limit=kill)
        run(trained(1000), [recorder])
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert ended.returncode == 9
    with (tmp_path / "steps.jsonl").open("a") as file:
        file.write('{"optimizer": 0, "st')
    recording = Recording.read(tmp_path)
    assert [row["step"] for row in recording.steps] == list(range(2 * FLUSH))
    assert recording.samples[-1]["step"] == 128
    assert recording.summary == {}
    assert recording.moments == {}


def test_an_empty_folder_is_an_empty_recording(tmp_path):
    recording = Recording.read(tmp_path)
    assert recording.losses() == []
    assert recording.optimizers == []
    assert recording.measure() is None


def test_a_limit_ends_the_run_and_everything_is_written(tmp_path):
    class Enough(Exception):
        pass

    def limit(steps):
        if steps == 3:
            raise Enough

    for name in ("raw_loop", "functional", "gradients_by_hand"):
        with pytest.raises(Enough):
            run(PROGRAMS[name], [Recorder(tmp_path, tmp_path, limit=limit)])
        recording = Recording.read(tmp_path)
        assert recording.summary["steps"] == [3]
        assert torch.overrides._get_current_function_mode() is None


ENTRANCES = {
    "rows of a table": (lambda x: nn.Linear(4, 2)(x), (50, 4), 1),
    "a matrix from the left": (lambda x: torch.ones(2, 4, requires_grad=True) @ x.T, (50, 4), 1),
    "sequences": (lambda x: nn.GRU(4, 3)(x)[0], (10, 5, 4), 2),
    "images": (lambda x: nn.Conv2d(3, 2, 3)(x), (4, 3, 6, 6), 1),
    "signals": (lambda x: nn.Conv1d(3, 2, 3)(x), (4, 3, 20), 1),
    "features of a grid": (lambda x: nn.Linear(3, 2)(x), (4, 6, 6, 3), 3),
    "one observation": (lambda x: nn.Linear(4, 2)(x), (4,), 0),
}


@pytest.mark.parametrize("kind", ENTRANCES)
def test_moments_of_what_enters(kind, tmp_path):
    layer, shape, axis = ENTRANCES[kind]
    data = 3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))

    def program(say):
        layer(data).sum().backward()
        return []

    _, recording = recorded(program, tmp_path)
    table = data.double().movedim(axis, -1).reshape(-1, shape[axis])
    np.testing.assert_allclose(recording.moments["mean0"], table.mean(0), rtol=1e-12)
    spread = table.std(0, correction=0)
    np.testing.assert_allclose(recording.moments["std0"], spread, rtol=1e-9, atol=1e-7)
    assert recording.moments["count0"] == len(table)
    if "second0" in recording.moments:
        second = table.T @ table / len(table)
        np.testing.assert_allclose(recording.moments["second0"], second, rtol=1e-12)
    assert ("second0" in recording.moments) == ("images" not in kind and "signals" not in kind)
    assert "mean1" not in recording.moments


def test_moments_are_of_the_first_rows_alone(tmp_path):
    def program(say):
        layer = nn.Linear(3, 1)
        for batch in range(12):
            layer(torch.full((1000, 3), float(batch))).sum().backward()
        return []

    _, recording = recorded(program, tmp_path)
    assert recording.moments["count0"] == 5000
    np.testing.assert_allclose(recording.moments["mean0"], 2.0)


def test_data_in_the_hidden_layers_of_an_evaluation_is_no_entrance(tmp_path):
    _, recording = recorded(PROGRAMS["raw_loop"], tmp_path)
    assert "mean0" in recording.moments
    assert "mean1" not in recording.moments


def test_parameters_that_nobody_trains_and_that_nothing_reaches(tmp_path):
    def program(say):
        x, y = table()
        model = nn.ModuleDict({"used": nn.Linear(5, 3), "idle": nn.Linear(5, 3)})
        loose = torch.zeros(3, requires_grad=True)
        x.requires_grad_()  # data with a gradient is nothing to train
        optimizer = torch.optim.SGD([*model["idle"].parameters(), model["used"].weight], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model["used"](x) + loose, y).backward()
            optimizer.step()
        return model.parameters()

    _, recording = recorded(program, tmp_path)
    assert recording.summary["untrained"] == ["used.bias"]
    assert sorted(recording.summary["unreached"]) == ["idle.bias", "idle.weight"]
    trained = {row["name"]: row["trained"] for row in recording.samples[0]["parameters"]}
    assert trained["used.weight"] is True
    assert trained["used.bias"] is False


def test_modes_are_counted_by_where_they_ran(tmp_path):
    def program(say):
        x, y = table()
        model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
        descend(model, torch.optim.SGD(model.parameters(), lr=0.1), x, y, say, 3)
        with torch.no_grad():
            model(x)
            model.eval()
            model(x), model(x)
        return model.parameters()

    _, recording = recorded(program, tmp_path)
    assert recording.summary["modes"] == {
        "batch_norm active in training": 3,
        "dropout active in training": 3,
        "batch_norm active in evaluation": 1,
        "dropout active in evaluation": 1,
        "batch_norm passive in evaluation": 2,
        "dropout passive in evaluation": 2,
    }


def test_targets_of_batches_are_tallied(tmp_path):
    def program(say):
        model = nn.Linear(2, 3)
        for labels in ([0, 0, 1, 1], [1, 1, 2, 2]):
            F.cross_entropy(model(torch.randn(4, 2)), torch.tensor(labels)).backward()
        return model.parameters()

    _, recording = recorded(program, tmp_path)
    assert recording.summary["target_means"] == [0.5, 1.5]
    assert recording.summary["target_counts"] == {"0": 2, "1": 4, "2": 2}


def test_the_summary_describes_the_optimizers(tmp_path):
    _, recording = recorded(PROGRAMS["adversaries"], tmp_path)
    first = recording.summary["optimizers"][0]
    assert first["kind"] == "Adam"
    assert first["groups"] == 1
    assert first["settings"]["betas"] == [0.5, 0.999]
    assert recording.summary["steps"] == [4, 4]
    sizes = [one.numel() for one in run(PROGRAMS["adversaries"]).ends]
    assert recording.summary["parameters"] == sum(sizes)
    json.dumps(recording.summary, allow_nan=False)


def test_a_probe_that_fails_is_noted_and_breaks_nothing(tmp_path):
    def broken(step):
        raise ZeroDivisionError("no")

    def works(step):
        return {"size": len(step.leaves)}

    _, recording = recorded(trained(2), tmp_path, [broken, works])
    assert [row["probes"] for row in recording.samples] == [{"size": 4}] * 2
    assert recording.summary["trouble"] == ["broken: ZeroDivisionError: no"] * 2


def test_probes_are_left_out_where_a_step_cannot_be_replayed(tmp_path):
    _, recording = recorded(PROGRAMS["custom_function"], tmp_path, [lambda step: {"seen": True}])
    assert [row["probes"] for row in recording.samples] == [{}] * 5
    assert all("no visible call" in row["flaw"] for row in recording.samples)


def test_a_probe_sees_the_update(tmp_path):
    found = []

    def probe(step):
        values = [value.clone().requires_grad_() for value in step.before]
        gradients = torch.autograd.grad(step.loss(values), values)
        pairs = zip(gradients, step.before, step.after, strict=True)
        found.append(all(torch.allclose(b - 0.1 * g, a, atol=1e-6) for g, b, a in pairs))
        return {}

    for name in ("gradients_by_hand", "accumulation"):
        recorded(PROGRAMS[name], tmp_path, [probe])
    assert found == [True] * 9
