"""A run that was cut anywhere continues bit for bit, and a file that is not a run's is refused."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from checkpointed_run import trained
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from thalweg.optim import SGD
from thalweg.training import CheckpointError, checkpoint, fit
from thalweg.training.loop import Loop

SCRIPT = Path(__file__).with_name("checkpointed_run.py")


class Cut(Exception):
    """Stands for whatever ends a process."""


def cut_after(monkeypatch, updates):
    """Let the run break right after so many updates, before what follows them."""
    made, step = [], Loop.update

    def update(self, parts):
        step(self, parts)
        made.append(1)
        if len(made) == updates:
            raise Cut

    monkeypatch.setattr(Loop, "update", update)


def same(state, fitted, other, other_fitted):
    assert_close(state, other, rtol=0, atol=0, equal_nan=True)
    ours, theirs = asdict(fitted), asdict(other_fitted)
    assert {**ours, "resumed_at": 0} == {**theirs, "resumed_at": 0}


@pytest.mark.parametrize("kind", ["pair", "dataset", "loader", "generator"])
@pytest.mark.parametrize("updates", [1, 2, 3, 5, 8, 13])
def test_it_continues_to_the_same_bits(kind, updates, tmp_path, monkeypatch):
    """An epoch has five steps; there is a checkpoint every two, and at its end."""
    whole = trained(kind=kind)
    with monkeypatch.context() as context:
        cut_after(context, updates)
        with pytest.raises(Cut):
            trained(tmp_path / "run", kind)
    continued = trained(tmp_path / "run", kind, seed=0 if kind == "generator" else 5)
    assert continued[1].resumed_at == max(n for n in (0, *SAVED) if n <= updates)
    if continued[1].resumed_at:
        same(*whole, *continued)


SAVED = (2, 4, 6, 8, 10, 12)  # and 5, 10, 15 once the epoch was measured, which is after the cut


def test_saving_changes_nothing(tmp_path):
    same(*trained(), *trained(tmp_path / "run"))


def test_a_run_that_has_ended_is_not_run_again(tmp_path):
    first = trained(tmp_path / "run")
    again = trained(tmp_path / "run", seed=9)
    same(*first, *again)
    assert again[1].resumed_at == first[1].steps


def test_more_epochs_go_on_where_fewer_ended(tmp_path):
    trained(tmp_path / "run", epochs=2)
    same(*trained(epochs=3), *trained(tmp_path / "run", epochs=3, seed=7))


def test_it_begins_anew_where_that_is_wanted(tmp_path):
    trained(tmp_path / "run", epochs=2)
    state, fitted = trained(tmp_path / "run", resume=False)
    assert fitted.resumed_at == 0
    same(*trained(), state, fitted)


def start(folder):
    """The process that trains."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # Another seed each time: all that counts comes from the checkpoint, once there is one.
    words = [str(SCRIPT), str(folder / "run"), str(folder / "result"), "0"]
    return subprocess.Popen([sys.executable, *words], env=environment)


def test_a_process_killed_at_any_moment_loses_no_more_than_a_step(tmp_path):
    """SIGKILL, three times, at moments drawn at random while the run writes every step."""
    draw, at, run = random.Random(), 0, tmp_path / "run"
    for _ in range(3):
        process = start(tmp_path)
        wait(lambda at=at, process=process: progress(run) > at or process.poll() is not None)
        time.sleep(draw.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        before, at = at, progress(run)
        assert at > before
    assert start(tmp_path).wait(timeout=300) == 0
    result = torch.load(tmp_path / "result", weights_only=True)
    state, fitted = trained(epochs=30)
    assert result["resumed_at"] == at
    assert result["losses"] == fitted.losses
    assert_close(result["state"], state, rtol=0, atol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result", "result.ready", "run"]


def progress(run):
    """Steps in the checkpoint, which is whole whenever it is read."""
    return len(checkpoint.read(run)["parts"]["history"]["sizes"]) if run.exists() else 0


def wait(ready):
    end = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.005)


def small_fit(path, **options):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    x = torch.randn(20, 3)
    optimizer = SGD(model.parameters(), lr=0.1)
    given = {"batch_size": 5, "epochs": 1, "seed": 1} | options
    return fit(model, F.cross_entropy, (x, x.argmax(1) % 2), None, optimizer, checkpoint=path,
               **given)  # fmt: skip


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_refused_and_stays(share, tmp_path):
    path = tmp_path / "run"
    small_fit(path)
    part = path.read_bytes()[: int(share * path.stat().st_size)]
    path.write_bytes(part)
    with pytest.raises(CheckpointError, match=r"not a whole checkpoint .* to begin anew"):
        small_fit(path)
    assert path.read_bytes() == part


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('code of the file was run')",)


@pytest.mark.parametrize(
    "content, words",
    [
        ({"model": {}}, "was not written by fit"),
        ([1, 2], "was not written by fit"),
        (torch.ones(3), "was not written by fit"),
        (Trap(), "not a whole checkpoint"),
        ({"format": checkpoint.FORMAT, "version": 99}, "of version 99, and this is version 1"),
    ],
)
def test_a_foreign_file_is_refused_and_its_code_not_run(content, words, tmp_path):
    torch.save(content, tmp_path / "run")
    with pytest.raises(CheckpointError, match=words):
        small_fit(tmp_path / "run")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"batch_size": 4}, r"the training data = '20 samples, 5 a batch, .* has '20 samples, 4"),
        ({"shuffle": "once"}, r"shuffled each-epoch.*shuffled once"),
        ({"accumulate": 2}, r"had accumulate = 1, and this one has 2"),
        ({"seed": 4}, r"had seed = 1, and this one has 4"),
    ],
)
def test_another_run_is_not_continued(options, words, tmp_path):
    small_fit(tmp_path / "run")
    with pytest.raises(CheckpointError, match=words):
        small_fit(tmp_path / "run", **options)


def test_a_state_that_a_safe_load_would_refuse_is_not_written(tmp_path):
    optimizer_state = {"odd": Trap}
    (tmp_path / "run").write_text("what was there")
    with pytest.raises(CheckpointError, match=r"holds .*Trap, which a safe load refuses"):
        checkpoint.write(tmp_path / "run", {"parts": optimizer_state})
    assert (tmp_path / "run").read_text() == "what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_is_not_there_is_said_before_training(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder"):
        small_fit(tmp_path / "nowhere" / "run")
