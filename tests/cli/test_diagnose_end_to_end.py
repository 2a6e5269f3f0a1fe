"""`thalweg diagnose` on whole scripts, from the outside: exit codes, files, what is left alone."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import thalweg as front_door
from thalweg.report import read

pytestmark = pytest.mark.slow
CASES = Path(__file__).parent / "scripts"


@pytest.fixture
def case(tmp_path):
    """Put a script of `scripts/` into an empty folder."""

    def copy(name):
        (tmp_path / "train.py").write_text((CASES / name).read_text())
        return tmp_path

    return copy


def test_a_healthy_script_is_called_healthy(case, thalweg):
    done = thalweg("diagnose", "--json", "out.json", "train.py", cwd=case("healthy.py"))
    assert done.returncode == 0, done.stdout


def test_a_script_that_never_trains_is_unknown(case, thalweg):
    folder = case("never_trains.py")
    done = thalweg("diagnose", "--json", "out.json", "train.py", cwd=folder)
    assert done.returncode == 3
    assert read(folder / "out.json")["verdict"] == "unknown"


def test_a_script_that_raises_shows_its_own_traceback(case, thalweg):
    folder = case("raises.py")
    plain = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    done = thalweg("diagnose", "--json", "out.json", "train.py", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    *script_says, last = done.stderr.splitlines(keepends=True)
    assert "".join(script_says) == plain.stdout + plain.stderr
    assert last.startswith("thalweg: train.py fails by itself (exit code 1)")
    assert not (folder / "out.json").exists()


def test_a_diagnosis_leaves_the_scripts_files_alone(case, thalweg):
    folder = case("writes_files.py")
    (folder / "log.txt").write_text("kept\n")
    thalweg("diagnose", "--steps", "20", "--budget", "40s", "train.py", cwd=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["log.txt", "train.py"]
    assert (folder / "log.txt").read_text() == "kept\n"


def children(process):
    """The processes that a process has started, by their ids."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def descendants(process):
    return [one for child in children(process) for one in (child, *descendants(child))]


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_ctrl_c_ends_the_trials_and_reports_what_is_known(case):
    folder = case("endless.py")
    words = ["diagnose", "--budget", "5m", "--json", "out.json", "train.py"]
    process = subprocess.Popen(
        [sys.executable, "-m", "thalweg", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a suite that runs in the background was started with Ctrl-C ignored, and hands that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: len(descendants(process.pid)) >= 2, 60)
    time.sleep(1)
    started = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1, 3), err
    assert read(folder / "out.json")["budget"]["interrupted"]
    assert "Traceback" not in out + err
    wait_until(lambda: not any(os.path.exists(f"/proc/{child}") for child in started), 10)


def test_the_front_door_returns_the_same_kind_of_report(case):
    folder = case("never_trains.py")
    report = front_door.diagnose(folder / "train.py", budget=60)
    assert report["verdict"] == "unknown"
    assert json.loads(json.dumps(report))["schema"] == 1


def test_the_front_door_runs_under_interventions(case, capfd):
    folder = case("healthy.py")
    slow = [{"kind": "learning-rate", "factor": 1e-9}]
    assert front_door.run(folder / "train.py") == 0
    assert front_door.run(folder / "train.py", interventions=slow) == 0
    plain, slowed = re.findall(r"accuracy (\d\.\d+)", capfd.readouterr().out)
    assert float(plain) > float(slowed) + 0.2


def test_an_unknown_optimizer_is_one_line(case, thalweg):
    done = thalweg("run", "--optimizer", "adamm", "train.py", cwd=case("healthy.py"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "adamm" in done.stderr
    assert done.stderr.count("\n") == 1
