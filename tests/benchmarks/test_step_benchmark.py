"""The step benchmark: it runs, its rows are there, and its figures are what they are called."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from stepping import aims, clocks, race, tables  # noqa: E402
from stepping.architectures import ARCHITECTURES  # noqa: E402
from stepping.contestants import Contestant, Model, Stepper, ours, state_and_moved  # noqa: E402
from stepping.results import Result  # noqa: E402

from thalweg import optim  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A quick run of two rules, with what it printed and wrote."""
    folder = tmp_path_factory.mktemp("step")
    command = [sys.executable, BENCHMARKS / "step.py", "--quick", "--rules", "sgd,adam"]
    command += ["--models", "mlp", "--seconds", "0.05", "--peers", "", "--busy"]
    command += ["--json", folder / "all.json", "--save", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def rows(text, column):
    """The table that has this column, as a dictionary for each row."""
    lines = text.splitlines()
    top = next(i for i, line in enumerate(lines) if column in line.split(" | "))
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines[top:]]
    body = [c for c in cells[2 : next(i for i, c in enumerate(cells) if len(c) == 1)]]
    return [dict(zip(cells[0], row, strict=True)) for row in body]


def test_every_rule_has_its_row_with_every_contestant(run):
    table = {row.pop("rule"): row for row in rows(run[0], "reference")}
    assert list(table) == ["sgd", "adam"]
    assert [table[name]["state B"] for name in table] == ["4.0", "8.0"]
    for row in table.values():
        assert row["is"] == "torch"
        assert float(row["torch"]) == 1
        for contestant in ("foreach", "fused", "auto", "each", "together", "blocks"):
            assert float(row[contestant]) > 0
        assert "compiled" not in row


def test_what_is_saved_is_what_is_printed(run):
    assert (run[1] / "step-cpu.md").read_text() == run[0].rstrip("\n") + "\n"
    written = json.loads((run[1] / "all.json").read_text())
    assert [(r["rule"], r["model"], r["reference"]) for r in written] == [
        ("sgd", "mlp", "torch"),
        ("adam", "mlp", "torch"),
    ]


# ResNet-50's and GPT-2 small's parameter counts are those that the libraries which ship them print.
@pytest.mark.parametrize(
    "name, tensors, elements",
    [
        ("resnet50", 161, 25_557_032),
        ("gpt2", 148, 124_439_808),
        ("mlp", 6, 8_970),
        ("many", 400, 25_600),
    ],
)
def test_architectures_have_their_published_size(name, tensors, elements):
    assert len(ARCHITECTURES[name].shapes) == tensors
    assert ARCHITECTURES[name].elements == elements


# Bytes for each parameter in float32: p, g and the slots in, p and the slots out.
@pytest.mark.parametrize(
    "name, options, state, moved",
    [
        ("sgd", {}, 0, 12),
        ("sgd", {"momentum": 0.9}, 4, 20),
        ("adam", {}, 8, 28),
        ("adam", {"amsgrad": True}, 12, 36),
    ],
)
def test_a_step_moves_its_arguments_and_its_results(name, options, state, moved):
    stepper = Stepper(optim.OPTIMIZERS[name], small_model(), options)
    stepper.step()
    assert state_and_moved(stepper.optimizer) == (1000 * state, 1000 * moved)


def small_model(elements=1000):
    return Model([torch.randn(elements)], [torch.randn(elements)], "cpu")


def test_memory_is_counted_at_its_highest():
    def work():
        first = torch.empty(50_000)
        del first
        second, third = torch.empty(30_000), torch.empty(40_000)
        del second, third

    assert clocks.extra_bytes(work) == 4 * 70_000


def test_a_gradient_that_an_optimizer_takes_away_is_put_back():
    stepper = Stepper(torch.optim.SGD, small_model(), {"lr": 0.1})
    stepper.params[0].grad = None
    stepper.ready()
    assert stepper.params[0].grad is stepper.gradients[0]


def test_contestants_share_parameters_but_not_gradients_they_may_write():
    model = small_model()
    plain, careful = (Stepper(torch.optim.SGD, model, {}, own) for own in (False, True))
    assert plain.params[0].data_ptr() == careful.params[0].data_ptr()
    assert plain.gradients[0] is model.gradients[0]
    assert careful.gradients[0].data_ptr() != model.gradients[0].data_ptr()


def result(turns, **more):
    return Result("adam", "resnet50", True, 100, turns=turns, **more)


def test_ratios_are_medians_of_ratios_within_a_turn():
    seen = result([{"torch": 1.0, "auto": 2.0}, {"torch": 10.0, "auto": 30.0}])
    seen.turns.append({"torch": 5.0, "auto": 40.0})
    assert seen.ratio("auto", "torch") == 3.0


def test_who_was_in_different_rounds_is_compared_by_the_reference():
    seen = result([{"torch": 1.0, "auto": 0.5}, {"torch": 10.0, "fused": 2.5}])
    assert seen.ratio("auto", "fused") == 2.0


def test_what_nothing_links_has_no_ratio():
    assert math.isnan(result([{"optax": 1.0}]).ratio("optax", "torch"))
    assert math.isnan(result([{"auto": 1.0}, {"fused": 2.5}]).ratio("auto", "fused"))


def test_the_floor_is_the_time_of_a_pass_scaled_to_the_bytes_of_a_step():
    seen = result([{"in place": 0.5, "auto": 3.0}], pass_bytes=200, moved_bytes=800)
    assert seen.floor() == 2.0
    assert seen.by_floor("auto") == 1.5


def test_missed_aims_are_named():
    turn = {"in place": 1.0, "compiled": 1.3, "torch": 8.0, "fused": 1.4}
    seen = result([turn], pass_bytes=100, moved_bytes=100, extra={"compiled": 6})
    lines = aims.report([seen]).splitlines()
    assert "floor: kept in 0 of 1; missed: adam on resnet50 1.30" in lines[0]
    assert lines[1].endswith("fused kernel: kept in 1 of 1")
    assert lines[2].endswith("kept in 0 of 1; missed: adam on resnet50 0.06")


def test_a_contestant_that_fails_is_noted_and_the_others_race():
    def start(model):
        raise ValueError("not for this model")

    entrants = [Contestant("torch", start), *ours("adam", ["each", "auto"])]
    seen = race.race(("adam", True), ARCHITECTURES["mlp"], mlp(), entrants, 0.01)
    assert seen.notes == {"torch": "ValueError: not for this model"}
    assert seen.reference == "each"
    assert seen.has("auto")
    assert tables.notes([seen]) == "* adam, torch: ValueError: not for this model"


def test_when_memory_is_short_there_are_rounds_each_with_the_reference(monkeypatch):
    monkeypatch.setattr(race, "_roomy", lambda model: False)
    entrants = ours("adam", ["each", "auto", "together"])
    seen = race.race(("adam", True), ARCHITECTURES["mlp"], mlp(), entrants, 0.0)
    together = {frozenset(turn) for turn in seen.turns}
    assert together == {frozenset({"each", "auto"}), frozenset({"each", "together"})}


def mlp():
    return Model.of(ARCHITECTURES["mlp"], "cpu")
