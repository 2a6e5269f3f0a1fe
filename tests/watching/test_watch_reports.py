"""A watched run as a report: one schema, as text, HTML, in a notebook, on the command line."""

import io
import json
import subprocess
import sys

import pytest
import torch
from rich.console import Console
from torch import nn

import thalweg
from thalweg import report

SCRIPT = """
import sys
import torch
torch.manual_seed(0)
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
for step in range(30):
    inputs = torch.randn(16, 3)
    if step == 20 and "break" in sys.argv:
        inputs[0, 0] = float("nan")
    loss = (net(inputs) - inputs.sum(1, keepdim=True)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(repr(loss.item()), net.weight.tolist())
if "raise" in sys.argv:
    raise ValueError("enough")
sys.exit(5 if "leave" in sys.argv else 0)
"""


def dying():
    """A network whose hidden units are dead, which needs no trial to be seen."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
    with torch.no_grad():
        net[0].bias.fill_(-50.0)
    return net


@pytest.fixture(scope="module")
def data():
    net = dying()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    with thalweg.watch() as watching:
        for _ in range(40):
            inputs = torch.rand(16, 4)
            optimizer.zero_grad()
            (net(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
            optimizer.step()
    return watching


def test_the_report_fits_the_one_schema(data):
    found = report.validate(json.loads(json.dumps(data.data, allow_nan=False)))
    assert found["verdict"] == "watched"
    assert found["findings"] == []
    assert found["baseline"]["steps"] == len(found["baseline"]["loss"]["values"]) == 40
    assert found["watched"]["sampled"] >= 1


def test_what_is_suspected_is_called_that(data):
    found = {one["cause"] for one in data.data["watched"]["suspicions"]}
    assert "dead-units" in found
    console = Console(file=io.StringIO(), width=80)
    report.render_text(data.data, console)
    text = console.file.getvalue()
    assert "Suspected, not proved: Dead units" in text
    assert "thalweg diagnose" in text
    assert "Watching took" in text
    assert "confident" not in text


def test_a_notebook_shows_the_page_in_a_frame(data):
    shown = data._repr_html_()
    assert shown.startswith('<iframe srcdoc="')
    assert "&lt;!doctype html" in shown
    assert shown.count('"') == 6  # three attributes: nothing of the page ends one
    assert "Suspected, not proved" in shown


def test_a_notebook_is_answered_before_the_run_has_ended():
    assert "still being watched" in thalweg.watch()._repr_html_()


def command(folder, *words):
    (folder / "train.py").write_text(SCRIPT)
    known = [sys.executable, "-m", "thalweg", "watch", "--json", "out.json", "train.py"]
    ours = subprocess.run([*known, *words], capture_output=True, text=True, cwd=folder, check=False)
    return ours, report.read(folder / "out.json")


@pytest.mark.parametrize("word, code", [("leave", 5), ("raise", 1)])
def test_the_command_leaves_output_and_exit_code_to_the_script(word, code, tmp_path):
    ours, found = command(tmp_path, word)
    plain = [sys.executable, "train.py", word]
    own = subprocess.run(plain, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ours.stdout, ours.returncode) == (own.stdout, own.returncode)
    assert own.returncode == code
    assert found["script"]["finished"] is (code == 0)
    assert own.stderr in ours.stderr


def test_the_command_tells_what_broke_and_how_to_go_on(tmp_path):
    ours, found = command(tmp_path, "break")
    trouble = found["watched"]["trouble"]
    assert (trouble["kind"], trouble["step"]) == ("data", 20)
    state = torch.load(tmp_path / trouble["state"], weights_only=True)
    assert state["step"] == 20
    assert "state = torch.load(" in ours.stderr
