"""A table of scripts that misbehave, and what becomes of their trials.

All are run by one runner, several at once, so that each also has neighbours to harm. Every row says
how the trial must end and what its reason, its stdout and its stderr must contain.
"""

import json
import os
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from thalweg.trials import Outcome, Runner

TRAINING = """
    import torch
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(20):
        optimizer.zero_grad()
        loss = (model(torch.ones(4, 2)) - 1).square().mean()
        loss.backward()
        optimizer.step()
    print("loss", round(loss.item(), 6))
"""


@dataclass
class Row:
    source: str
    ended: str = "finished"
    code: int | None = 0
    reason: str = ""
    stdout: str = ""
    stderr: str = ""
    seconds: float = 20.0


ROWS = {
    "trains": Row(TRAINING, stdout="loss 0.0"),
    "exits 0": Row("import sys; print('x'); sys.exit(0)", stdout="x"),
    "exits 3": Row("import sys; sys.exit(3)", "crashed", 3, "sys.exit(3)"),
    "exits with text": Row("exit('no data')", "crashed", 1, "no data", stderr="no data"),
    "raises": Row(
        "def f(): return 1 / 0\nf()", "crashed", 1, "ZeroDivisionError", stderr="in <module>"
    ),
    "does not parse": Row("if True", "crashed", 1, "SyntaxError"),
    "loops for ever": Row("while True: pass", "seconds", None, "time limit", seconds=0.5),
    "sleeps for ever": Row(
        "import time; print('zzz')\ntime.sleep(1e6)", "seconds", None, stdout="zzz", seconds=0.5
    ),
    "swallows everything": Row(
        """
        import time
        while True:
            try:
                time.sleep(60)
            except BaseException as error:
                print('swallowed', type(error).__name__)
        """,
        "seconds",
        None,
        "time limit",
        stdout="swallowed TrialEnded",
        seconds=0.5,
    ),
    "ignores signals": Row(
        """
        import signal, time
        for number in (signal.SIGTERM, signal.SIGXCPU, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        print('deaf')
        while True: time.sleep(60)
        """,
        "seconds",
        None,
        "killed at its time limit",
        stdout="deaf",
        seconds=0.5,
    ),
    "hangs outside Python": Row(
        "sum(range(10**15))",  # no bytecode: no signal handler can run
        "seconds",
        None,
        "killed",
        seconds=0.5,
    ),
    "faults": Row("import ctypes; ctypes.string_at(0)", "crashed", -11, "SIGSEGV"),
    "aborts": Row("import os; os.abort()", "crashed", -6, "SIGABRT"),
    "kills itself": Row(
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed", -9, "memory"
    ),
    "leaves by os._exit(7)": Row("import os; os._exit(7)", "crashed", 7, "os._exit(7)"),
    "leaves by os._exit(0)": Row("import os; os._exit(0)", "finished", 0, "os._exit(0)"),
    "leaves by os._exit in a child": Row(
        "import os\nif os.fork() == 0: os._exit(9)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))",
        stdout="9",
    ),
    "puts another program in its place": Row(
        "import os; os.execlp('sleep', 'sleep', '1000')", reason="another program in its place"
    ),
    "interrupts itself": Row("raise KeyboardInterrupt", "crashed", 130, "KeyboardInterrupt"),
    "wants memory": Row("x = bytearray(1 << 62)", "crashed", 1, "MemoryError"),
    "recurses": Row("def f(): f()\nf()", "crashed", 1, "RecursionError"),
    "prints 10 MB": Row("for i in range(10**4): print('x' * 999)\nprint('end')", stdout="end"),
    "reads stdin": Row("input('> ')", "crashed", 1, "EOFError", stdout="> "),
    "speaks Unicode": Row("print('∇ℒ ✓')", stdout="∇ℒ ✓"),
    "closes its streams": Row("import sys; sys.stdout.close(); sys.stderr.close()"),
    "closes descriptors": Row("import os; os.closerange(0, 100)"),
    "parses arguments": Row(
        """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument('--rate', type=float)
        print(parser.parse_args(['--rate', '2']).rate, __import__('sys').argv[1:])
        """,
        stdout="2.0 ['--given', 'é ü']",
    ),
    "imports beside": Row("from beside import value; print(value)", stdout="42"),
    "loads by workers": Row(
        """
        import torch
        from torch.utils.data import DataLoader
        loader = DataLoader(torch.arange(8), batch_size=4, num_workers=2)
        print([batch.tolist() for batch in loader])
        """,
        stdout="[[0, 1, 2, 3], [4, 5, 6, 7]]",
    ),
    "spawns": Row(
        """
        import multiprocessing
        def double(x): return 2 * x
        if __name__ == '__main__':
            with multiprocessing.get_context('spawn').Pool(1) as pool:
                print(pool.map(double, [1, 2]))
        """,
        stdout="[2, 4]",
    ),
    "has daemon threads": Row(
        """
        import threading, time
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
        print('end')
        """,
        stdout="end",
    ),
    "waits for a thread": Row(
        """
        import threading, time
        threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()
        """,
        stdout="late",
    ),
    "waits for a thread for ever": Row(
        "import threading; threading.Thread(target=threading.Event().wait).start()",
        "seconds",
        None,
        seconds=0.5,
    ),
    "has exit handlers": Row("import atexit; atexit.register(print, 'bye')", stdout="bye"),
    "forks": Row(
        """
        import os
        pid = os.fork()
        if pid == 0:
            print('child')
        else:
            os.waitpid(pid, 0)
            print('parent')
        """,
        stdout="parent",
    ),
    "leaves a daemon": Row(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open(os.environ['PIDS'], 'a').write(f'{os.getpid()} ')
                time.sleep(1e6)
            os._exit(0)
        time.sleep(0.3)
        print('gone')
        """,
        stdout="gone",
    ),
    "starts a program": Row(
        """
        import os, subprocess
        child = subprocess.Popen(['sleep', '1000'], start_new_session=True)
        open(os.environ['PIDS'], 'a').write(f'{child.pid} ')
        print('started')
        """,
        stdout="started",
    ),
    "changes folder": Row(
        """
        import os
        os.makedirs('deep/er')
        os.chdir('deep/er')
        open('x.txt', 'w').write('x')
        print(os.listdir('.'), os.getcwd().endswith('deep/er'))
        """,
        stdout="['x.txt'] True",
    ),
    "writes files": Row(
        """
        import os, pathlib, numpy, torch
        here = pathlib.Path(__file__).parent
        open('relative.txt', 'w').write('r')
        (here / 'absolute.txt').write_text('a')
        open('precious.txt', 'a').write(' lost?')
        os.makedirs('runs/1', exist_ok=True)
        torch.save({'w': torch.ones(2)}, 'runs/1/model.pt')
        numpy.save('runs/1/a.npy', numpy.ones(2))
        numpy.savetxt('runs/1/a.txt', numpy.ones(2))
        os.rename('runs/1/model.pt', 'best.pt')
        os.remove('also_precious.txt')
        print(open('precious.txt').read(), torch.load('best.pt')['w'].sum().item())
        print(os.path.exists('also_precious.txt'), sorted(os.listdir('runs/1')))
        """,
        stdout="precious lost? 2.0\nFalse ['a.npy', 'a.txt']",
    ),
    "writes past Python": Row(
        """
        import subprocess, pathlib
        here = pathlib.Path(__file__).parent
        done = subprocess.run(['sh', '-c', f'echo x > {here}/precious.txt'], capture_output=True)
        print(done.returncode != 0, (here / 'precious.txt').read_text())
        """,
        stdout="True precious",
    ),
    "uses temporary files": Row(
        """
        import tempfile, os
        file = tempfile.NamedTemporaryFile(delete=False)
        print(os.path.exists(file.name), open(os.environ['PIDS'], 'a').write(''))
        """,
        stdout="True 0",
    ),
    "empties its environment": Row("import os; os.environ.clear(); print('bare')", stdout="bare"),
    "blocks all signals": Row(
        """
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True: pass
        """,
        "seconds",
        None,
        "killed",
        seconds=0.5,
    ),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The user's folder: what lies here must never change."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "precious.txt").write_text("precious")
    (folder / "also_precious.txt").write_text("too")
    (folder / "beside.py").write_text("value = 42\n")
    for number, row in enumerate(ROWS.values()):
        (folder / f"script{number}.py").write_text(textwrap.dedent(row.source))
    return folder


@pytest.fixture(scope="module")
def outcomes(home, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")  # a place that a trial may write in
    environment = {"PIDS": str(cache / "pids"), "XDG_CACHE_HOME": str(cache)}
    before = _contents(home)
    here = Path.cwd()
    os.chdir(home)
    try:
        with Runner(home / "script0.py", jobs=2, folder=tmp_path_factory.mktemp("runs")) as runner:
            trials = [
                runner.trial(
                    name,
                    script=home / f"script{number}.py",
                    arguments=("--given", "é ü"),
                    environment=environment,
                    max_seconds=row.seconds,
                )
                for number, (name, row) in enumerate(ROWS.items())
            ]
            found = dict(zip(ROWS, runner.run(trials), strict=True))
    finally:
        os.chdir(here)
    left = [int(pid) for pid in (cache / "pids").read_text().split()]
    return found, before, left


@pytest.mark.parametrize("name", ROWS)
def test_ends_with_its_reason(name, outcomes):
    row, outcome = ROWS[name], outcomes[0][name]
    assert (outcome.ended, outcome.exit_code) == (row.ended, row.code), outcome
    assert row.reason in outcome.reason
    assert row.stdout in outcome.stdout_path.read_text(encoding="utf-8")
    assert row.stderr in outcome.stderr_path.read_text(encoding="utf-8")
    assert outcome.reason
    assert outcome.seconds < row.seconds + 3


@pytest.mark.parametrize("name", ROWS)
def test_outcome_is_kept_on_disk(name, outcomes):
    outcome = outcomes[0][name]
    kept = json.loads((outcome.folder / "outcome.json").read_text())
    assert Outcome.from_dict(kept) == outcome
    assert not (outcome.folder / "scratch").exists()
    assert not list(outcome.folder.glob("*.part"))


@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if row.ended == "crashed"])
def test_traceback_is_the_scripts_own(name, outcomes):
    errors = outcomes[0][name].stderr_path.read_text()
    assert "thalweg/trials" not in errors


def test_the_users_folder_is_as_it_was(home, outcomes):
    assert _contents(home) == outcomes[1]


def test_nothing_is_left_running(outcomes):
    left = outcomes[2]
    assert len(left) == 2
    time.sleep(0.1)
    assert not [pid for pid in left if os.path.exists(f"/proc/{pid}")]


def test_ten_megabytes_came_through(outcomes):
    assert outcomes[0]["prints 10 MB"].stdout_path.stat().st_size == 10**7 + 4


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
