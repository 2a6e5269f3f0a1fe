"""`thalweg curvature` on whole scripts: what is printed and written, exit codes, mistakes."""

import copy
import io
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

import thalweg as front_door
from thalweg.cli.curvature_text import render
from thalweg.cli.main import main

pytestmark = pytest.mark.slow
CASES = Path(__file__).parent / "scripts"


def outcome(capsys, *words):
    """Exit code, standard output and standard error of a command line."""
    code = main(["curvature", *map(str, words)])
    return code, *capsys.readouterr()


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Put a script of `scripts/` into an empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def copy_of(name):
        shutil.copy(CASES / name, tmp_path / "train.py")
        return "train.py"

    return copy_of


@pytest.fixture(scope="module")
def lined(thalweg, tmp_path_factory):
    """A line that is trained by SGD, asked at two steps and at one that it never makes."""
    folder = tmp_path_factory.mktemp("line")
    shutil.copy(CASES / "writes_files.py", folder / "train.py")
    words = ("--at", "40,0,900", "--json", "out.json", "--html", "out.html", "train.py", "--x")
    done = thalweg("curvature", *words, cwd=folder)
    return folder, done, json.loads((folder / "out.json").read_text())


def least_squares():
    """The Hessian of that script's loss: of the mean square, in weight and bias."""
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    rows = torch.cat([x, torch.ones(256, 1)], 1).double()
    return torch.linalg.eigvalsh(2 * rows.T @ rows / 256)


def test_what_was_asked_is_answered_and_the_rest_said(lined):
    _, done, data = lined
    assert done.returncode == 3, done.stderr
    assert [step["step"] for step in data["steps"]] == [0, 40]
    assert data["missing"] == [{"step": 900, "why": "the script ended after 60 steps"}]
    assert "Step 900 was not seen: the script ended after 60 steps." in done.stdout
    assert (data["kind"], data["schema"], data["at"]) == ("curvature", 1, [0, 40, 900])
    assert data["script"]["arguments"] == ["--x"]


def test_the_numbers_are_least_squares(lined):
    values = least_squares()
    for step in lined[2]["steps"]:
        assert step["largest"]["value"] == pytest.approx(float(values[-1]), rel=1e-5)
        assert step["smallest"]["value"] == pytest.approx(float(values[0]), rel=1e-3)
        assert step["sharpness"]["trace"]["value"] == pytest.approx(float(values.sum()), rel=1e-5)
        condition = float(values[-1] / values[0])
        assert step["spectrum"]["condition"]["number"] == pytest.approx(condition, rel=1e-4)
        rate = step["learning_rate"]
        assert rate["maximal"]["value"] == pytest.approx(2 / float(values[-1]), rel=1e-3)
        assert (rate["in_use"], rate["confirmed"]) == (0.1, True)


def test_the_text_fits_80_columns_and_has_no_blanks_at_its_ends(lined):
    printed = lined[1].stdout
    assert max(map(len, printed.splitlines())) <= 80
    assert not re.search(r"[ \t]$", printed, re.M)
    for words in ("Step 0, SGD", "How it moved", "0.1 in use", "lambda_max", "trace", "condition"):
        assert words in printed


def test_files_are_written_and_named_last_and_the_scripts_own_are_not(lined):
    folder, done, _ = lined
    assert done.stdout.splitlines()[-2:] == ["JSON: out.json", "HTML: out.html"]
    assert (folder / "out.html").read_text().rstrip().endswith("</html>")
    assert {path.name for path in folder.iterdir()} == {"train.py", "out.json", "out.html"}


def test_a_script_that_fails_later_has_given_its_steps(case, capsys):
    code, out, err = outcome(capsys, "--at", "0,100", case("raises.py"), "--at", "3")
    assert code == 3
    assert "note: --at stands after train.py, so train.py receives it" in err
    assert "Step 0, SGD" in out
    said = " ".join(out.split())
    assert "Step 100 was not seen: the script failed after 5 steps" in said
    assert "the data set ends here" in said


def test_a_script_that_fails_before_speaks_for_itself(case, capsys):
    code, out, err = outcome(capsys, "--at", "100", case("raises.py"))
    assert (code, out) == (2, "")
    assert "RuntimeError: the data set ends here" in err
    assert err.splitlines()[-1].startswith("thalweg: train.py fails by itself (exit code 1)")


def test_a_script_that_never_trains_has_no_steps(case, capsys):
    code, out, _ = outcome(capsys, "--at", "0", case("never_trains.py"))
    assert code == 3
    assert "Step 0 was not seen: the script ended after 0 steps." in out


def test_a_script_without_an_end_is_stopped_at_its_budget(case, capsys):
    code, out, _ = outcome(capsys, "--at", "999999", "--budget", "6s", case("endless.py"))
    assert code == 3
    assert re.search(r"not seen: the (time was over|run was stopped) after", " ".join(out.split()))


@pytest.mark.parametrize(
    "words, says",
    [
        (["--at", "0,x"], "'0,x' must be steps from 0, separated by commas"),
        (["--at", "-1"], "'-1' must be steps from 0"),
        (["--at", "0,,3"], "'0,,3' must be steps"),
        (["--products", "0"], "'0' must be a whole number above zero"),
        (["--products", "5"], "products=5: give at least 20"),
        (["--html", "no/x.html"], "--html no/x.html: the folder"),
        (["--json", "out", "--html", "./out"], "--json and --html both name"),
        (["--curve"], "unrecognized argument --curve"),
    ],
)
def test_a_mistake_gets_one_clear_line(words, says, case, capsys):
    code, out, err = outcome(capsys, *words, case("never_trains.py"))
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_defaults_of_the_command_line_and_of_the_front_door_agree(case, capsys, monkeypatch):
    from thalweg import survey

    told = []

    def stand_in(script, arguments, *, progress, **options):
        told.append((str(script), arguments, options))
        raise ValueError("enough")

    monkeypatch.setattr(survey, "survey", stand_in)
    script = case("never_trains.py")
    outcome(capsys, script)
    with pytest.raises(ValueError, match="enough"):
        front_door.curvature_of(script)
    assert told[0] == told[1]


def printed(data, **options):
    """What is printed of a survey."""
    console = Console(file=io.StringIO(), width=80, **options)
    render(data, console)
    return console.file.getvalue()


CHANGES = {
    "a step without an answer": (
        lambda step: step.clear() or step.update(step=7, failed="why [not]", optimizer=WHO),
        "No answer: why [not].",
    ),
    "an answer that failed": (
        lambda step: step.update(sharpness={"failed": "no"}, spectrum={"failed": "few"}),
        "no answer: few",
    ),
    "a rate without a limit": (
        lambda step: step["learning_rate"].update(
            maximal={"value": None, "low": None, "high": None}
        ),
        "maximal unbounded: no direction is curved upwards",
    ),
    "no condition": (
        lambda step: step["spectrum"]["condition"].update(number=None),
        "none: no eigenvalue is told apart from zero",
    ),
    "a saddle": (
        lambda step: step["critical_point"].update(
            kind="saddle", escape={"curvature": -1, "certificate": -1, "step": 0.5, "gain": 3.0}
        ),
        "a step of 0.5 along its direction lowers the loss by 3",
    ),
    "a note": (lambda step: step.update(notes=["half of it"]), "half of it"),
}
WHO = {"index": 1, "kind": "Adam", "count": 2}


@pytest.mark.parametrize("change, says", CHANGES.values(), ids=CHANGES)
def test_whatever_is_missing_is_said(change, says, lined):
    data = copy.deepcopy(lined[2])
    change(data["steps"][0])
    assert says in " ".join(printed(data).split())


def test_a_terminal_without_blocks_gets_plain_signs(lined):
    class Plain(io.StringIO):
        encoding = "ascii"

    console = Console(file=Plain(), width=80)
    render(lined[2], console)
    assert console.file.getvalue().isascii()
