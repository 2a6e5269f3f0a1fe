"""`thalweg prune` on a whole script: what is printed and written, exit codes, mistakes."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

import thalweg as front_door
from thalweg.cli.main import main
from thalweg.cli.prune_text import render

CASES = Path(__file__).parent / "scripts"


def printed(data):
    console = Console(file=io.StringIO(), width=80, no_color=True)
    render(data, console)
    return console.file.getvalue()


def point(method, sparsity, **found):
    measured = {"value": 0.5, "loss": 1.5, "layers": [], "left_out": []}
    return {"method": method, "sparsity": sparsity} | (found or measured)


@pytest.fixture
def data():
    """What two methods keep at two sparsities, one of them not measured."""
    return {
        "script": {"path": "train.py", "arguments": ["--x"], "steps": 1200, "seconds": 3.0},
        "pattern": "unstructured",
        "asked": 0.8,
        "measure": {"name": "accuracy at train.py:9", "kind": "accuracy"},
        "networks": [{"name": "", "kind": "Net", "parameters": 5000}],
        "dense": {"value": 0.9, "loss": 0.1},
        "points": [
            point("kronecker", 0.8001),
            point("kronecker", 0.9, failed="it cannot be"),
            point("magnitude", 0.8, value=0.25, loss=3.0, layers=[], left_out=[]),
            point("magnitude", 0.9),
        ],
        "saved": "sparse.pt",
        "budget": {"seconds": 12.0, "limit": 300.0},
    }


def test_the_table(data):
    lines = printed(data).splitlines()
    assert lines[0] == "Pruned train.py --x: Net (5,000 parameters) after 1,200 steps"
    rows = [line.split() for line in lines[3:7]]
    assert rows[0] == ["sparsity", "kronecker", "magnitude"]
    assert rows[1] == ["0", "%", "90.0", "%", "90.0", "%"]
    assert rows[2] == ["80", "%", "50.0", "%", "25.0", "%"]
    assert rows[3] == ["90", "%", "-", "50.0", "%"]
    assert lines[8] == "At 80 % zeros kronecker keeps 50.0 % of 90.0 %, magnitude 25.0 %."
    assert "90 %, kronecker: not measured: it cannot be." in lines
    assert lines[-2:] == ["Parameters: sparse.pt", "12 s of 5 min."]


def test_without_a_measure_the_loss_is_shown(data):
    text = printed(data | {"measure": None, "asked": None, "saved": None})
    assert "Loss of the last batches, since the script measures nothing" in text
    assert "80 %         1.5           3" in text
    assert "keeps" not in text


def test_magnitude_alone_has_one_column(data):
    text = printed(data | {"points": data["points"][2:]})
    assert text.splitlines()[3].split() == ["sparsity", "magnitude"]
    assert "At 80 % zeros magnitude keeps 25.0 % of 90.0 %." in text


def test_what_a_pattern_leaves_out_is_named(data):
    data["points"][0]["left_out"] = ["head"]
    assert "Not pruned, since the pattern does not fit: head." in printed(data)


@pytest.mark.slow
def test_the_whole_command(thalweg, tmp_path):
    shutil.copy(CASES / "keeps_the_best.py", tmp_path / "train.py")
    words = ("--sparsity", "0.8", "--method", "magnitude", "--json", "out.json")
    done = thalweg("prune", *words, "--save", "sparse.pt", "train.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Pruned train.py: model (910 parameters) after 120 steps\n")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["saved"] == "sparse.pt"
    assert {path.name for path in tmp_path.iterdir()} == {"train.py", "out.json", "sparse.pt"}


@pytest.mark.slow
def test_a_script_that_fails(thalweg, tmp_path):
    shutil.copy(CASES / "raises.py", tmp_path / "train.py")
    done = thalweg("prune", "train.py", cwd=tmp_path)
    assert done.returncode == 2
    assert "fails by itself (exit code 1), so there is no network to prune" in done.stderr


MISTAKES = {
    "a share above one": (("--sparsity", "8"), "share of zeros between 0 and 1"),
    "a pattern of nothing": (("--pattern", "2:1"), "n:m with n below m"),
    "an unknown method": (("--method", "surgery"), "choose one of magnitude"),
    "nothing to be kept": (("--save", "x.pt"), "which sparsity is to be kept"),
    "one file twice": (("--save", "x", "--json", "x"), "both name x"),
    "no folder": (("--sparsity", "0.5", "--save", "gone/x.pt"), "does not exist"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_said_before_the_script_runs(mistake, tmp_path, monkeypatch, capsys):
    words, message = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("raise RuntimeError('not to be run')")
    assert main(["prune", *words, "train.py"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_the_front_door_names_a_script_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"gone\.py: no such script"):
        front_door.sparsity_of("gone.py")
