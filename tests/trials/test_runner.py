"""The runner: order, budgets, instruments, seeds, interruption, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import pytest

from thalweg.trials import Runner, Trial, TrialEnded, end_now, end_trial, warden

INSTRUMENTS = "test_runner"

# Where the trials' processes find the instruments: this folder, before what was there already.
PATH = os.pathsep.join(filter(None, [os.path.dirname(__file__), os.environ.get("PYTHONPATH")]))


# Instruments, made in the trials' processes.


@contextmanager
def notes(folder, trial_data, word="closed"):
    """Note in the trial's folder that it was entered and left."""
    (folder / "note.txt").write_text(f"opened {trial_data['name']} ")
    try:
        yield
    finally:
        with (folder / "note.txt").open("a") as file:
            file.write(word)


@contextmanager
def counts_steps(folder, trial_data, how="raise"):
    """End the trial at its budget of optimizer steps."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    ways = {"raise": _raise, "ask": end_trial, "now": end_now}
    seen = []

    def count(*_):
        seen.append(1)
        (folder / "steps.txt").write_text(str(len(seen)))
        if len(seen) >= trial_data["max_steps"]:
            ways[how]("steps", f"{len(seen)} steps")

    handle = register_optimizer_step_post_hook(count)
    yield
    handle.remove()


def _raise(ended, reason):
    raise TrialEnded(ended, reason)


@contextmanager
def fails_to_open(folder, trial_data):
    raise OSError("no instrument today")
    yield


@contextmanager
def fails_to_close(folder, trial_data):
    yield
    raise ValueError("cannot close")


def instrument(name, **options):
    return {"make": f"{INSTRUMENTS}:{name}", **options}


TRAINING = """
import torch
torch.manual_seed(1)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(50):
    optimizer.zero_grad()
    model(torch.ones(4, 2)).square().mean().backward()
    try:
        optimizer.step()
    except {caught}:
        pass
print(model.bias.item())
"""


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "train.py").write_text(TRAINING.format(caught="ZeroDivisionError"))
    (home / "stubborn.py").write_text(TRAINING.format(caught="BaseException"))
    (home / "quick.py").write_text("print('quick')")
    (home / "endless.py").write_text("import time\nprint('on', flush=True)\ntime.sleep(1e6)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATH)
        temporary = tmp_path_factory.getbasetemp() / "temporary"
        temporary.mkdir(exist_ok=True)
        patch.setenv("TMPDIR", str(temporary))
        with Runner(home / "train.py", jobs=2, folder=tmp_path_factory.mktemp("runs")) as runner:
            yield runner


def run(runner, script="train.py", **options):
    path = runner.script.with_name(script)
    return runner.run([runner.trial("one", script=path, **options)])[0]


def test_outcomes_come_in_the_order_of_the_trials(runner):
    sleeps = [0.4, 0.0, 0.2, 0.1]
    script = runner.script.with_name("sleeps.py")
    script.write_text("import sys, time; time.sleep(float(sys.argv[1])); print(sys.argv[1])")
    trials = [runner.trial(f"s{s}", script=script, arguments=(str(s),)) for s in sleeps]
    seen = []
    outcomes = runner.run(trials, on_progress=seen.append)
    assert [outcome.trial for outcome in outcomes] == trials
    assert [float(outcome.stdout_path.read_text()) for outcome in outcomes] == sleeps
    assert [p.done for p in seen if p.latest] == [1, 2, 3, 4]
    assert seen[-1].total == 4
    assert all(len(p.running) <= 2 for p in seen)
    assert len({outcome.folder for outcome in outcomes}) == 4


def test_no_trials_are_no_outcomes(runner):
    assert runner.run([]) == []


def test_imports_are_timed(runner):
    assert 0 < runner.import_seconds < 120


def test_runner_does_not_import_torch():
    code = "import sys, thalweg.trials.runner; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("how", ["raise", "ask", "now"])
def test_instrument_ends_a_trial_at_its_steps(runner, how):
    outcome = run(
        runner,
        instruments=(instrument("notes"), instrument("counts_steps", how=how)),
        max_steps=7,
    )
    assert (outcome.ended, outcome.exit_code, outcome.reason) == ("steps", None, "7 steps")
    assert (outcome.folder / "steps.txt").read_text() == "7"
    assert (outcome.folder / "note.txt").read_text() == "opened one closed"
    assert outcome.stdout_path.read_text() == ""


@pytest.mark.parametrize("how, steps", [("raise", "50"), ("ask", "8"), ("now", "7")])
def test_script_that_swallows_the_end_is_still_ended(runner, how, steps):
    """Raising alone lets it run on; asked a second time, it goes."""
    outcome = run(
        runner,
        "stubborn.py",
        instruments=(instrument("notes"), instrument("counts_steps", how=how)),
        max_steps=7,
    )
    assert (outcome.ended, outcome.reason) == ("steps", "7 steps")
    assert (outcome.folder / "steps.txt").read_text() == steps
    assert (outcome.folder / "note.txt").read_text() == "opened one closed"


def test_end_in_a_worker_ends_the_worker_alone(runner):
    script = runner.script.with_name("forks.py")
    script.write_text(
        "import os\npid = os.fork()\n"
        "if pid == 0:\n"
        + textwrap.indent(TRAINING.format(caught="BaseException"), "    ")
        + "\n    os._exit(9)\n"
        "print(os.waitpid(pid, 0)[1])"
    )
    instruments = instrument("notes"), instrument("counts_steps", how="now")
    outcome = run(runner, "forks.py", instruments=instruments, max_steps=3)
    assert outcome.ended == "finished"
    assert outcome.stdout_path.read_text() == "0\n"
    assert (outcome.folder / "note.txt").read_text() == "opened one closed"


@pytest.mark.parametrize(
    "make, said",
    [
        (f"{INSTRUMENTS}:fails_to_open", "could not be prepared: OSError: no instrument today"),
        (f"{INSTRUMENTS}:fails_to_close", "could not be closed: ValueError: cannot close"),
        (f"{INSTRUMENTS}:missing", "could not be prepared: AttributeError"),
        ("no_such_module:x", "could not be prepared: ModuleNotFoundError"),
    ],
)
def test_failing_instrument_is_told_apart_from_the_script(runner, make, said):
    outcome = run(runner, "quick.py", instruments=(instrument("notes"), {"make": make}))
    assert outcome.ended == "crashed"
    assert said in outcome.reason
    assert (outcome.folder / "note.txt").read_text() == "opened one closed"


def test_time_limit_closes_the_instruments(runner):
    outcome = run(runner, "endless.py", instruments=(instrument("notes"),), max_seconds=0.3)
    assert (outcome.ended, outcome.reason) == ("seconds", "stopped at its time limit")
    assert (outcome.folder / "note.txt").read_text() == "opened one closed"
    assert outcome.stdout_path.read_text() == "on\n"
    assert 0.2 < outcome.seconds < 2.5


def test_deadline_shortens_what_runs_and_drops_what_waits(runner):
    script = runner.script.with_name("endless.py")
    trials = [runner.trial(f"t{i}", script=script) for i in range(4)]
    started = time.monotonic()
    outcomes = runner.run(trials, deadline=started + 0.5)
    assert time.monotonic() - started < 5
    assert [outcome.ended for outcome in outcomes] == ["seconds"] * 2 + ["interrupted"] * 2
    assert [outcome.trial for outcome in outcomes] == trials
    assert all((outcome.folder / "outcome.json").exists() for outcome in outcomes)


def test_missing_script_is_a_crash_with_a_reason(runner):
    outcome = run(runner, "missing.py")
    assert outcome.ended == "crashed"
    assert "cannot be read" in outcome.reason
    assert "missing.py" in outcome.reason


def test_environment_reaches_the_script(runner):
    script = runner.script.with_name("env.py")
    script.write_text("import os; print(os.environ['COLOUR'], hash('x') == hash('x'))")
    outcome = run(runner, "env.py", environment={"COLOUR": "blue"})
    assert outcome.stdout_path.read_text() == "blue True\n"


SEEDED = """
import random, numpy, torch
torch.manual_seed(3); random.seed(3); numpy.random.seed(3)
print(torch.rand(1).item(), random.random(), numpy.random.rand())
"""
UNSEEDED = """
import random, numpy, torch
print(torch.rand(1).item(), random.random(), numpy.random.rand(),
      numpy.random.default_rng().random(), hash("order of sets"))
"""


@pytest.mark.parametrize("source", [SEEDED, UNSEEDED], ids=["seeded", "unseeded"])
def test_streams_repeat_and_differ_by_shift(runner, source):
    script = runner.script.with_name("draws.py")
    script.write_text(source)
    trials = [runner.trial("t", script=script, seed_shift=shift) for shift in (0, 0, 1, 1, 2)]
    first, again, other, other_again, third = (
        outcome.stdout_path.read_text() for outcome in runner.run(trials)
    )
    assert (first, other) == (again, other_again)
    assert len({first, other, third}) == 3
    assert not {*first.split()[:3]} & {*other.split()[:3]}


def test_shift_0_is_the_scripts_own_run(runner):
    script = runner.script.with_name("draws.py")
    script.write_text(SEEDED)
    plain = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert run(runner, "draws.py").stdout_path.read_text() == plain.stdout


def test_trials_share_the_cores_but_the_users_word_counts(monkeypatch):
    from thalweg.trials.runner import _environment, cores

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    assert _environment(cores())["OMP_NUM_THREADS"] == ("1" if cores() > 1 else _environment(1))
    assert "OMP_NUM_THREADS" not in _environment(1)
    assert _environment(1)["PYTHONHASHSEED"] == "0"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    assert (_environment(2)["OMP_NUM_THREADS"], _environment(2)["PYTHONHASHSEED"]) == ("3", "5")


def test_much_output_is_dropped_not_kept(tmp_path, monkeypatch):
    """A warden by itself, around a program that prints 30 lines of 1000 bytes, slowly."""
    monkeypatch.setattr(warden, "MOST_OUTPUT", 5000)
    lines = "import time\nfor i in range(30): print('x' * 999, flush=True); time.sleep(0.02)"
    with open(tmp_path / warden.STDOUT, "ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", lines], stdout=out, start_new_session=True
        )
    outcome = warden.watch(warden.Started(process), Trial("x", "x.py"), tmp_path, lambda: False)
    assert outcome.exit_code == 0
    assert outcome.stdout_path.stat().st_size < 30000


def test_nursery_killed_loses_its_trials_and_no_more(runner, tmp_path_factory):
    """The runner goes on with a new nursery."""
    temporary = tmp_path_factory.getbasetemp() / "temporary"
    script = runner.script.with_name("endless.py")
    channel = runner._channel

    family = []

    def kill(progress):
        wardens = _descendants(channel.process.pid)
        children = [pid for warden in wardens for pid in _descendants(warden)]
        if len(children) == 2:
            family.extend([*wardens, *children])
            channel.process.kill()

    trials = [runner.trial("lost", script=script, max_seconds=30) for _ in range(2)]
    lost = runner.run(trials, on_progress=kill)
    assert [outcome.ended for outcome in lost] == ["killed"] * 2
    assert run(runner, "quick.py").ended == "finished"
    assert len(family) == 4
    _gone(family)
    assert not list(temporary.glob("thalweg-*"))


# Interruption, in a process of its own that can be sent signals.

CALLER = """
import json, sys
from pathlib import Path
from thalweg.trials import Runner

home = Path(sys.argv[1])
instruments = ({"make": "test_runner:notes"},)

def on(home):
    return all((home / f"runs/00{i}-t{i}/stdout.txt").read_text() == "on\\n" for i in (0, 1))

with Runner(home / "endless.py", jobs=2, folder=home / "runs") as runner:
    trials = [runner.trial(f"t{i}", instruments=instruments) for i in range(3)]
    def say(progress):
        if all((home / f"runs/00{i}-t{i}/stdout.txt").exists() for i in (0, 1)) and on(home):
            print("running", flush=True)
    try:
        runner.run(trials, on_progress=say)
    except KeyboardInterrupt:
        print(json.dumps([[o.trial.name, o.ended, o.seconds] for o in runner.outcomes]), flush=True)
        raise
"""


@pytest.fixture
def caller(tmp_path):
    (tmp_path / "endless.py").write_text(
        textwrap.dedent(
            """
            import os, pathlib, time
            cache = pathlib.Path(os.environ["XDG_CACHE_HOME"])
            (cache / str(os.getpid())).touch()
            print("on", flush=True)
            time.sleep(1e6)
            """
        )
    )
    (tmp_path / "caller.py").write_text(CALLER)
    cache = tmp_path / "cache"
    cache.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "caller.py"), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PATH, "XDG_CACHE_HOME": str(cache)},
        # a suite that runs in the background was started with Ctrl-C ignored, and hands that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout.readline() == "running\n"
        yield process, tmp_path
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_ctrl_c_ends_the_trials_and_is_raised_again(caller):
    process, home = caller
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    told = sorted(json.loads(output.splitlines()[-1]))
    assert [name for name, _, _ in told] == ["t0", "t1", "t2"]
    assert {ended for _, ended, _ in told} == {"interrupted"}
    # Two were asked to end, and told their time themselves; the third never began.
    assert [seconds > 0 for _, _, seconds in told] == [True, True, False]
    assert errors.strip().endswith("KeyboardInterrupt")
    _gone(_pids(home))
    kept = home / "runs" / "000-t0"
    assert json.loads((kept / "outcome.json").read_text())["ended"] == "interrupted"
    assert (kept / "note.txt").read_text() == "opened t0 closed"
    assert json.loads((home / "runs" / "002-t2" / "outcome.json").read_text())["seconds"] == 0


def test_killed_caller_leaves_no_process(caller):
    process, home = caller
    pids = _pids(home)
    process.kill()
    process.wait()
    _gone(pids)


def _pids(home):
    pids = [int(path.name) for path in (home / "cache").iterdir() if path.name.isdigit()]
    assert len(pids) == 2
    return pids


def _descendants(pid):
    """Processes of this user's whose parent is ``pid``."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry))
    return found


def _gone(pids):
    until = time.monotonic() + 8
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


# A fresh interpreter per trial, the way of other systems.


def test_fresh_interpreters_do_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATH)
    script = tmp_path / "train.py"
    script.write_text("import sys\nopen('x', 'w').write('x')\nprint(open('x').read(), sys.path[0])")
    endless = tmp_path / "endless.py"
    endless.write_text("import os, subprocess\nsubprocess.Popen(['sleep', '1000']).wait()")
    monkeypatch.chdir(tmp_path)
    notes = (instrument("notes"),)
    with Runner(script, jobs=2, fresh=True, folder=tmp_path / "runs") as runner:
        plain, limit = runner.run(
            [
                runner.trial("plain", instruments=notes),
                runner.trial("limit", script=endless, instruments=notes, max_seconds=0.5),
            ],
        )
    assert (plain.ended, plain.exit_code) == ("finished", 0)
    assert plain.stdout_path.read_text() == f"x {tmp_path}\n"
    assert limit.ended == "seconds"
    for outcome in (plain, limit):
        assert (outcome.folder / "note.txt").read_text().endswith("closed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["endless.py", "runs", "train.py"]


# What a caller can do wrong.


def test_own_folder_is_removed_and_a_given_one_kept(tmp_path):
    with Runner(tmp_path / "x.py", folder=tmp_path / "kept") as runner:
        pass
    assert (tmp_path / "kept").exists()
    with Runner(tmp_path / "x.py") as runner:
        folder = runner.folder
        assert folder.exists()
    assert not folder.exists()


def test_runner_outside_with_says_what_to_do(tmp_path):
    runner = Runner(tmp_path / "x.py", folder=tmp_path)
    with pytest.raises(RuntimeError, match="with Runner"):
        runner.run([runner.trial("x")])


def test_no_jobs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="jobs=0"):
        Runner(tmp_path / "x.py", jobs=0)


def test_python_without_torch_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{PATH}")
    (tmp_path / "torch.py").write_text("import os; os._exit(9)")
    with (
        Runner(tmp_path / "x.py", folder=tmp_path / "runs") as runner,
        pytest.raises(RuntimeError, match="cannot import torch"),
    ):
        runner.run([runner.trial("x")])


@pytest.mark.parametrize(
    "options, said",
    [
        ({"max_steps": 0}, "max_steps=0"),
        ({"max_seconds": -1.0}, "max_seconds=-1.0"),
        ({"max_seconds": float("nan")}, "max_seconds=nan"),
        ({"seed_shift": -1}, "seed_shift=-1"),
        ({"instruments": ({"make": "module"},)}, "package.module:function"),
        ({"instruments": ({},)}, "package.module:function"),
    ],
)
def test_trial_that_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Trial("x", "train.py", **options)


def test_trial_survives_json():
    trial = Trial("x", "a/b.py", ("1",), ({"make": "m:f", "k": [1]},), 2, {"A": "b"}, 5, 6.5)
    assert Trial.from_dict(json.loads(json.dumps(trial.as_dict()))) == trial


def test_end_now_outside_a_trial_is_refused():
    with pytest.raises(RuntimeError, match="no trial runs"):
        end_now("steps", "x")
