"""The shell of the command line: help, mistakes, exit codes. No script is diagnosed here."""

import ast
import importlib
import json
import shlex
import sys
import types

import pytest

import thalweg as front_door
from thalweg.cli import main as entry
from thalweg.cli.command import parsed, script_of
from thalweg.cli.main import COMMANDS, main

every_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


def outcome(capsys, *words):
    """Exit code, standard output and standard error of a command line."""
    code = main(words)
    return code, *capsys.readouterr()


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A script named train.py in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print('trained')\n")
    return tmp_path / "train.py"


def test_help_lists_every_command(capsys):
    code, out, err = outcome(capsys, "--help")
    assert (code, err) == (0, "")
    assert all(f"  {command.name}" in out and command.summary in out for command in COMMANDS)


@every_command
def test_help_shows_every_option_an_example_and_its_python(command, capsys):
    code, out, err = outcome(capsys, command.name, "--help")
    assert (code, err) == (0, "")
    assert f"example:\n  {command.example}\n" in out
    assert f"in Python:\n  {command.python}\n" in out
    assert f"usage: thalweg {command.name}" in out


@every_command
def test_the_example_is_accepted(command):
    program, name, *words = shlex.split(command.example)
    assert (program, name) == ("thalweg", command.name)
    assert parsed(command, words)


@every_command
def test_the_python_equivalent_calls_a_public_name(command):
    calls = [node for node in ast.walk(ast.parse(command.python)) if isinstance(node, ast.Call)]
    called = {ast.unparse(call.func) for call in calls} - {"print"}
    assert len(called) == 1
    package, name = called.pop().split(".")
    assert package == "thalweg"
    assert name in front_door.__all__


def test_version(capsys):
    assert outcome(capsys, "--version") == (0, f"thalweg {front_door.__version__}\n", "")


def test_python_m_thalweg_is_the_command_line(thalweg):
    done = thalweg("--version")
    assert (done.returncode, done.stdout) == (0, f"thalweg {front_door.__version__}\n")


def test_env_says_what_an_issue_needs(capsys):
    code, out, _ = outcome(capsys, "env")
    assert code == 0
    for name, value in front_door.environment().items():
        assert name in out
        assert value in out


MISTAKES = {
    "no command": ([], "thalweg: no command was named"),
    "unknown command": (["diagnoze"], "thalweg: diagnoze is no command; did you mean diagnose?"),
    "no script": (["diagnose"], "thalweg diagnose: no script was named"),
    "no script to run": (["run"], "thalweg run: no script was named"),
    "missing script": (
        ["diagnose", "trian.py"],
        "thalweg diagnose: trian.py: no such file; did you mean train.py?",
    ),
    "missing script to run": (["run", "trian.py"], "thalweg run: trian.py: no such file; did you"),
    "a folder": (["diagnose", "."], "thalweg diagnose: . is a folder: name the script in it"),
    "misspelled option": (
        ["diagnose", "--bugdet", "9", "train.py"],
        "thalweg diagnose: unrecognized argument --bugdet; did you mean --budget?",
    ),
    "abbreviated option": (
        ["diagnose", "--budg", "9", "train.py"],
        "thalweg diagnose: unrecognized argument --budg; did you mean --budget?",
    ),
    "budget without unit": (["diagnose", "--budget", "5x", "train.py"], "'5x' is not a length of"),
    "no budget": (["diagnose", "--budget", "0", "train.py"], "'0' is not a length of time"),
    "no steps": (["diagnose", "--steps", "0", "train.py"], "'0' must be a whole number above zero"),
    "half a step": (["diagnose", "--steps", "1.5", "train.py"], "'1.5' must be a whole number"),
    "negative seed": (["diagnose", "--seed=-1", "train.py"], "'-1' must be a whole number from 0"),
    "empty only": (["diagnose", "--only", ",", "train.py"], "names nothing"),
    "unknown code": (
        ["diagnose", "--only", "learning-rate-to-high", "train.py"],
        "no such obstacle; did you mean learning-rate-too-high?",
    ),
    "json in a missing folder": (
        ["diagnose", "--json", "no/out.json", "train.py"],
        "thalweg diagnose: --json no/out.json: the folder",
    ),
    "json onto a folder": (["diagnose", "--json", ".", "train.py"], "--json .: this is a folder"),
    "json without a path": (["diagnose", "--json"], "argument --json: expected one argument"),
    "one file for both": (
        ["diagnose", "--json", "out", "--html", "./out", "train.py"],
        "--json and --html both name ./out",
    ),
    "json where nothing can be written": (
        ["diagnose", "--json", "/proc/out.json", "train.py"],
        "--json /proc/out.json: cannot write to /proc",
    ),
    "two learning rates": (
        ["run", "--lr", "1", "--lr-factor", "2", "train.py"],
        "thalweg run: argument --lr-factor: not allowed with argument --lr",
    ),
    "negative rate": (["run", "--lr=-1", "train.py"], "'-1' must be a number above zero"),
    "infinite rate": (["run", "--lr", "inf", "train.py"], "'inf' must be a number above zero"),
    "no such report": (["run", "--apply", "r.json", "train.py"], "--apply r.json: no such file"),
    "no report": (["run", "--apply", "train.py", "train.py"], "--apply train.py: not JSON"),
    "no JSON": (["run", "--intervention", "{", "train.py"], "--intervention {: not JSON"),
    "no kind": (["run", "--intervention", "{}", "train.py"], "must be an object with a kind"),
    "nothing of this name": (
        ["explain", "lerning-rate-too-high"],
        "did you mean learning-rate-too",
    ),
}


@pytest.mark.parametrize("words, says", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_gets_one_clear_line(words, says, script, capsys):
    code, out, err = outcome(capsys, *words)
    assert (code, out) == (2, "")
    assert says in err
    assert words == [] or err.count("\n") == 1


BELONGS_TO_THE_SCRIPT = {
    "nothing": [],
    "words": ["a", "b c", ""],
    "options like ours": ["--json", "x.json", "--seed=3", "--help", "--version", "-h"],
    "unknown options": ["--lr", "-1", "-x", "--"],
    "a separator": ["--", "--epochs", "3"],
}


@pytest.mark.parametrize("arguments", BELONGS_TO_THE_SCRIPT.values(), ids=BELONGS_TO_THE_SCRIPT)
@pytest.mark.parametrize("ours", [[], ["--"], ["--seed", "3"], ["--seed=3", "--"]], ids=str)
@pytest.mark.parametrize("name", ["diagnose", "run"])
def test_what_follows_the_script_is_the_scripts(name, ours, arguments, script):
    words = ours if name == "diagnose" else [w for w in ours if w == "--"]
    options = parsed(entry.BY_NAME[name], [*words, "train.py", *arguments])
    path, received = script_of(options)
    assert (str(path), received) == ("train.py", arguments)
    assert name == "run" or options.seed == (3 if len(ours) and ours != ["--"] else None)


def test_ctrl_c_ends_with_its_own_code(monkeypatch, capsys):
    monkeypatch.setattr(entry, "answer", interrupt)
    assert outcome(capsys, "env") == (130, "", "thalweg env: interrupted\n")


def interrupt(words):
    raise KeyboardInterrupt


def test_a_defect_is_no_verdict(monkeypatch, capsys):
    monkeypatch.setattr(entry, "answer", lambda words: 1 // 0)
    code, out, err = outcome(capsys, "env")
    assert (code, out) == (70, "")
    assert "ZeroDivisionError" in err
    assert "defect of Thalweg" in err.splitlines()[-1]


# The doctor's part of `diagnose`, played by a stand-in that returns one report.


class ScriptFailed(Exception):
    exit_code, stdout, stderr, hint = 7, "one line\n", "Traceback: its own\n", ""


@pytest.fixture
def doctor(monkeypatch, script, report_data):
    """A doctor that gives its `verdict`, or raises its `error`, and keeps what it was `told`."""
    stand_in = types.ModuleType("thalweg.doctor")
    stand_in.ScriptFailed, stand_in.error, stand_in.verdict = ScriptFailed, None, "healthy"

    def diagnose(*call, progress, **options):
        stand_in.told = (call, options)
        progress(types.SimpleNamespace(done=1, total=3, says="learning rate [x] 0.1"))
        if stand_in.error:
            raise stand_in.error
        report = {**report_data, "verdict": stand_in.verdict}
        return types.SimpleNamespace(as_data=lambda: report)

    stand_in.diagnose = diagnose
    importlib.import_module("thalweg.report")
    monkeypatch.setitem(sys.modules, "thalweg.doctor", stand_in)
    monkeypatch.setattr(front_door, "doctor", stand_in, raising=False)
    return stand_in


@pytest.mark.parametrize("verdict, code", [("healthy", 0), ("obstructed", 1), ("unknown", 3)])
def test_the_exit_code_is_the_verdict(verdict, code, doctor, capsys):
    doctor.verdict = verdict
    assert outcome(capsys, "diagnose", "train.py")[0] == code


def test_options_reach_the_doctor(doctor, capsys):
    options = ["--budget", "1.5m", "--steps", "40", "--seed", "7", "--only", "unscaled_inputs"]
    outcome(capsys, "diagnose", *options, "train.py", "--epochs", "3")
    (path, arguments), told = doctor.told
    assert (str(path), arguments) == ("train.py", ["--epochs", "3"])
    assert told == {"budget": 90.0, "steps": 40, "seed": 7, "only": ("unscaled-inputs",)}


def test_defaults_of_the_command_line_and_of_the_front_door_agree(doctor, capsys):
    outcome(capsys, "diagnose", "train.py")
    from_command_line = doctor.told
    front_door.diagnose("train.py")
    assert doctor.told == from_command_line


def test_the_front_door_returns_the_report(doctor, report_data):
    assert front_door.diagnose("train.py") == report_data


def test_the_front_door_wants_a_script_that_is_there(doctor):
    with pytest.raises(FileNotFoundError, match=r"trian\.py: no such script"):
        front_door.diagnose("trian.py")


def test_reports_are_written_and_named_last(doctor, script, capsys):
    words = ["diagnose", "--json", "out.json", "--html", "out.html", "train.py"]
    code, out, _ = outcome(capsys, *words)
    assert code == 0
    assert out.splitlines()[-2:] == ["JSON report: out.json", "HTML report: out.html"]
    assert json.loads(script.with_name("out.json").read_text())["verdict"] == "healthy"
    assert "<html" in script.with_name("out.html").read_text()


def test_a_script_that_fails_by_itself_speaks_for_itself(doctor, capsys):
    doctor.error = ScriptFailed()
    code, out, err = outcome(capsys, "diagnose", "train.py")
    assert (code, out) == (2, "")
    *script_says, last = err.splitlines()
    assert script_says == ["one line", "Traceback: its own"]
    assert last.startswith("thalweg: train.py fails by itself (exit code 7)")


def test_a_refused_argument_is_one_line(doctor, capsys):
    doctor.error = ValueError("budget must be more")
    assert outcome(capsys, "diagnose", "train.py") == (
        2,
        "",
        "thalweg diagnose: budget must be more\n",
    )


def test_a_full_disk_costs_the_file_and_not_the_report(doctor, capsys):
    code, out, err = outcome(capsys, "diagnose", "--json", "/dev/full", "train.py")
    assert code == 2
    assert "healthy" in out.lower()
    assert "cannot write /dev/full: No space left on device" in err


def test_an_option_after_the_script_is_noted(doctor, capsys):
    _, _, err = outcome(capsys, "diagnose", "train.py", "--json", "x.json", "--jsonish")
    assert err == (
        "thalweg: note: --json stands after train.py, so train.py receives it; "
        "an option of thalweg stands before the script\n"
    )
