"""`thalweg run`: what the options ask for, and the script as it is when they ask for nothing."""

import json
import subprocess
import sys

import pytest

import thalweg as front_door
from thalweg.cli import run
from thalweg.cli.command import parsed

ASKED = {
    "nothing": ([], []),
    "rate": (["--lr", "0.01"], [{"kind": "learning-rate", "value": 0.01}]),
    "factor": (["--lr-factor", "0.1"], [{"kind": "learning-rate", "factor": 0.1}]),
    "optimizer": (["--optimizer", "Adam"], [{"kind": "optimizer", "name": "adam"}]),
    "optimizer and rate": (
        ["--lr", "1e-3", "--optimizer", "adam"],
        [{"kind": "optimizer", "name": "adam", "lr": 1e-3}],
    ),
    "optimizer and factor": (
        ["--optimizer", "sgd", "--lr-factor", "2"],
        [{"kind": "optimizer", "name": "sgd"}, {"kind": "learning-rate", "factor": 2.0}],
    ),
    "optimizer with settings": (
        ["--optimizer", "sgd(momentum=0.9, nesterov=True)", "--lr", "0.1"],
        [
            {
                "kind": "optimizer",
                "name": "sgd",
                "lr": 0.1,
                "settings": {"momentum": 0.9, "nesterov": True},
            }
        ],
    ),
    "method": (["--optimizer", "LBFGS"], [{"kind": "method", "name": "l-bfgs"}]),
    "method and search": (
        ["--optimizer", "levenberg-marquardt(scale=identity)", "--search", "fixed(step=0.5)"],
        [
            {
                "kind": "method",
                "name": "levenberg-marquardt",
                "settings": {"scale": "identity"},
                "search": "fixed",
                "search_settings": {"step": 0.5},
            }
        ],
    ),
    "clipping": (["--clip", "1"], [{"kind": "clipping", "norm": 1.0}]),
    "inputs": (["--standardize-inputs"], [{"kind": "input-standardization"}]),
    "stale gradients": (["--clear-stale-gradients"], [{"kind": "clear-stale-gradients"}]),
    "weights": (["--reinitialize"], [{"kind": "initialization", "scheme": "he"}]),
    "any": (["--intervention", '{"kind": "x", "y": [1]}'], [{"kind": "x", "y": [1]}]),
    "several": (
        ["--clip", "2", "--lr", "3", "--intervention", '{"kind": "x"}'],
        [
            {"kind": "learning-rate", "value": 3.0},
            {"kind": "clipping", "norm": 2.0},
            {"kind": "x"},
        ],
    ),
}

# Prints all that a script can see of how it was started, and ends in a way of its own.
MIRROR = """
import __main__, os, sys
print(sys.argv, sys.path, sys.flags, __name__, __file__, __spec__, sorted(vars(__main__)))
print(sys.stdin.read(), os.getcwd(), sys.orig_argv, sorted(os.environ), sorted(sys.modules))
print("to standard error", file=sys.stderr)
raise {ending}
"""


@pytest.mark.parametrize("words, interventions", ASKED.values(), ids=ASKED)
def test_options_are_plain_data(words, interventions):
    assert run.from_options(parsed(run.COMMAND, [*words, "train.py"])) == interventions


@pytest.mark.parametrize("ending", ["SystemExit(3)", "SystemExit('why')", "ValueError('why')"])
@pytest.mark.parametrize("arguments", [[], ["--lr", "3", "--", "a b"]], ids=str)
def test_without_interventions_it_is_python_itself(ending, arguments, tmp_path):
    (tmp_path / "mirror.py").write_text(MIRROR.format(ending=ending))
    ends = [started(front, "mirror.py", *arguments, cwd=tmp_path) for front in ([], THALWEG_RUN)]
    assert ends[0] == ends[1]
    assert b"to standard error" in ends[0][2]


THALWEG_RUN = ["-m", "thalweg", "run"]


def started(front, *words, cwd):
    done = subprocess.run(
        [sys.executable, *front, *words], cwd=cwd, input=b"typed", capture_output=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def finding(held, *interventions):
    remedy = {"interventions": list(interventions), "says": "", "edit": ""}
    return {"cause": "x", "remedy": remedy, "verified": None if held is None else {"held": held}}


FACTOR, CLIPPING = {"kind": "learning-rate", "factor": 0.1}, {"kind": "clipping", "norm": 1.0}


@pytest.mark.parametrize(
    "found, applied",
    [
        ([finding(True, FACTOR)], [FACTOR]),
        ([finding(False, FACTOR)], []),
        ([finding(None, FACTOR)], []),
        ([{"cause": "x", "remedy": None, "verified": None}], []),
        ([finding(False, FACTOR), finding(True, CLIPPING)], [CLIPPING]),
        ([finding(True, FACTOR, CLIPPING)], [FACTOR, CLIPPING]),
    ],
)
def test_only_remedies_that_held_are_applied(found, applied):
    assert [item for one in found for item in run.verified(one)] == applied


def test_a_report_without_a_remedy_runs_the_script_as_it_is(tmp_path, thalweg, report_data):
    (tmp_path / "train.py").write_text("print('trained')\nraise SystemExit(5)\n")
    (tmp_path / "report.json").write_text(json.dumps(report_data))
    done = thalweg("run", "--apply", "report.json", "train.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (5, "trained\n")
    assert done.stderr == "thalweg run: report.json holds no verified remedy to apply\n"


def test_a_report_from_a_newer_schema_is_refused(tmp_path, thalweg, report_data):
    (tmp_path / "train.py").write_text("print('trained')\n")
    (tmp_path / "report.json").write_text(json.dumps({**report_data, "schema": 2}))
    done = thalweg("run", "--apply", "report.json", "train.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "written by a newer Thalweg" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_front_door_runs_a_script_in_a_process_of_its_own(tmp_path):
    (tmp_path / "train.py").write_text("import sys\nsys.exit(len(sys.argv))\n")
    assert front_door.run(tmp_path / "train.py", ["--", "-x"]) == 3
