"""Scripts and arguments at the edge: a diagnosis ends, says what it knows, and harms nothing."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import thalweg
from thalweg.doctor import ScriptFailed, diagnose
from thalweg.report.json import plain

pytestmark = pytest.mark.usefixtures("imported_once")

SCHEMA = json.loads((Path(thalweg.__file__).parent / "report" / "schema.json").read_text())

TRAINING = """
import torch
torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(64, 4)
y = x.sum(1, keepdim=True) + torch.randn(64, 1)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def train(steps):
    for step in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()
"""
STALE = TRAINING.replace("        optimizer.zero_grad()\n", "").replace("lr=0.1", "lr=0.3")


@pytest.fixture
def script(tmp_path):
    """Write a script of this source into a folder of its own; `training` goes before it."""

    def write(source, training=TRAINING):
        path = tmp_path / "train.py"
        path.write_text(training + textwrap.dedent(source))
        return path

    return write


def examined(path, **options):
    """The diagnosis, after a check that its report is strict JSON of the documented form."""
    found = diagnose(path, **({"budget": 600.0} | options))
    Draft202012Validator(SCHEMA).validate(
        json.loads(json.dumps(plain(found.data), allow_nan=False))
    )
    assert found.verdict == found.data["verdict"]
    assert found.reason
    return found


# Scripts that fail by themselves: the source and the exit code.
FAILURES = {
    "raises": ("train(3)\nraise RuntimeError('no data')", 1),
    "exits with 3": ("import sys\ntrain(3)\nsys.exit(3)", 3),
    "exits with words": ("import sys\nsys.exit('no such data set')", 1),
    "has no gradient": ("loss = (x - y).sum()\nloss.backward()", 1),
    "does not parse": ("def (:", 1),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_script_that_fails_by_itself(script, name):
    source, code = FAILURES[name]
    path = script("print('begins')\n" + source)
    plain = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    with pytest.raises(ScriptFailed, match=f"exit code {code}") as failed:
        diagnose(path, budget=60)
    assert failed.value.exit_code == plain.returncode == code
    assert (failed.value.stdout, failed.value.stderr) == (plain.stdout, plain.stderr)


# Scripts of which little can be known: the source, and the verdicts that would be honest.
LITTLE = {
    "never trains": ("print(model(x).mean().item())", {"unknown"}),
    "never steps": ("loss = (model(x) - y).square().mean()\nloss.backward()", {"unknown"}),
    "steps without gradients": ("for _ in range(5):\n    optimizer.step()", {"unknown"}),
    "makes one step": ("print(train(1))", {"healthy", "unknown"}),
    "is not finite from the start": ("x[0, 0] = float('nan')\nprint(train(40))", {"unknown"}),
    "exits with 0": ("import sys\ntrain(40)\nsys.exit(0)", {"healthy"}),
}


@pytest.mark.parametrize("name", LITTLE)
def test_a_script_of_which_little_can_be_known(script, name):
    source, honest = LITTLE[name]
    found = examined(script(source))
    assert found.verdict in honest
    assert found.data["findings"] == []


def test_an_endless_script_keeps_to_the_budget(script):
    found = examined(script("while True:\n    train(1)"), budget=10)
    assert found.data["script"]["finished"] is False
    assert found.data["script"]["steps"] > 0
    assert found.data["budget"]["limit"] == 10
    assert found.data["budget"]["seconds"] < 30  # that it ends, also on a busy machine


def test_much_output_is_not_passed_on(script, capfd):
    found = examined(script("train(40)\nfor i in range(50_000):\n    print('x' * 100)"))
    assert found.verdict == "healthy"
    assert capfd.readouterr() == ("", "")


def test_the_users_files_are_left_alone(script, monkeypatch):
    path = script(
        """
        from pathlib import Path
        train(40)
        Path("made.txt").write_text("made")
        Path(__file__).with_name("kept.txt").write_text("changed")
        torch.save(model.state_dict(), "model.pt")
        """
    )
    kept = path.with_name("kept.txt")
    kept.write_text("kept")
    monkeypatch.chdir(path.parent)
    assert examined(path).verdict == "healthy"
    assert sorted(one.name for one in path.parent.iterdir()) == ["kept.txt", "train.py"]
    assert kept.read_text() == "kept"


@pytest.mark.parametrize("after", [0, 3])
def test_ctrl_c_keeps_what_is_known(script, after):
    def interrupt(progress):
        if progress.done >= after:
            raise KeyboardInterrupt

    found = examined(script("print(train(40))"), progress=interrupt)
    assert found.data["budget"]["interrupted"] is True
    assert found.verdict == "unknown"
    assert (found.data["baseline"] is None) is (after == 0)


def test_progress_is_heard(script):
    heard = []
    examined(script("print(train(40))"), progress=heard.append)
    assert all(0 <= one.done <= one.total and one.says for one in heard)
    assert heard[-1].done == heard[-1].total > 1
    totals = [one.total for one in heard]
    assert totals == sorted(totals)


def test_a_limit_of_steps_holds_for_every_run(script):
    found = examined(script("print(train(400))"), steps=7)
    assert found.data["script"]["steps"] == 7
    assert {one["steps"] for one in found.data["trials"]} == {7}
    assert found.data["script"]["finished"] is False


def test_only_looks_for_what_is_asked(script):
    path = script("print(train(60))", STALE)
    found = examined(path, only=["stale-gradients"])
    assert [one["cause"] for one in found.data["findings"]] == ["stale-gradients"]
    assert found.data["findings"][0]["verified"]["held"]
    other = examined(path, only=["class-imbalance"])
    named = [one["cause"] for key in ("findings", "ruled_out") for one in other.data[key]]
    assert set(named) <= {"class-imbalance"}
    assert other.verdict != "obstructed"


def test_another_seed_is_another_stream_of_its_own(script):
    path = script("print(train(40))")
    curves = [
        examined(path, seed=seed, only=["class-imbalance"]).data["baseline"]["loss"]["values"]
        for seed in (None, 3, 3)
    ]
    assert curves[1] == curves[2] != curves[0]


def test_arguments_reach_the_script(script):
    path = script("import sys\nprint(train(int(sys.argv[1])))")
    found = diagnose(path, ["23"], budget=60, only=["class-imbalance"])
    assert found.data["script"]["steps"] == 23
    assert found.data["script"]["arguments"] == ["23"]


# Arguments out of their domain, and words that the message must have.
REFUSED = [
    ({"budget": 0}, "budget=0"),
    ({"budget": -1.0}, "budget=-1.0"),
    ({"budget": float("inf")}, "budget=inf"),
    ({"budget": float("nan")}, "budget=nan"),
    ({"steps": 0}, "steps=0"),
    ({"steps": -3}, "steps=-3"),
    ({"seed": -1}, "seed=-1"),
    ({"only": ["learning-rate"]}, "learning-rate-too-high"),
    ({"only": ["stale-gradients", "nonsense"]}, "only='nonsense'"),
    ({"jobs": 0}, "jobs=0"),
]


@pytest.mark.parametrize("options, words", REFUSED, ids=[words for _, words in REFUSED])
def test_arguments_out_of_their_domain_are_refused(script, options, words):
    with pytest.raises(ValueError, match=words):
        diagnose(script("print(train(5))"), **options)


@pytest.mark.parametrize("name", ["missing.py", "."])
def test_a_script_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="there is no such file"):
        diagnose(tmp_path / name)
