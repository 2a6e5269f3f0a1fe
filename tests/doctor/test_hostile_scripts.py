"""Hostile scripts on the command line: a verdict or a refusal that names it, and no trace left."""

import os
import textwrap
import time
from dataclasses import dataclass

import pytest

import thalweg.doctor  # noqa: F401 - the command imports it under a progress display
from thalweg.cli.main import main
from thalweg.report import read

pytestmark = pytest.mark.usefixtures("imported_once")

HEALTHY, UNKNOWN, REFUSED = 0, 3, 2  # exit codes
STEPS = 12
ONLY = "class-imbalance"  # so that the two rates that are always tried are all that is tried

TRAINING = f"""
import torch
torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(64, 4)
y = x.sum(1, keepdim=True) + 0.1 * torch.randn(64, 1)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def update(x, y):
    optimizer.zero_grad()
    loss = (model(x) - y).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()
def train():
    for step in range({STEPS}):
        loss = update(x, y)
    return loss
"""
FROM_THE_CLOCK = """
import random, time, numpy, torch
torch.manual_seed(int(time.time_ns() % 2**31))
random.seed(time.time())
numpy.random.seed(time.time_ns() % 2**32)
generator = torch.Generator().manual_seed(time.time_ns())
order = torch.randperm(64, generator=generator)
scale = random.random() + numpy.random.rand() + numpy.random.default_rng(time.time_ns()).random()
"""


OWN_UPDATE = """
import torch
def step(self, closure=None):
    with torch.no_grad():
        for p in self.param_groups[0]['params']:
            p -= self.param_groups[0]['lr'] * p.grad
torch.optim.SGD.step = step
"""


@dataclass
class Row:
    """A script, and how its diagnosis must end: exit code, words of the verdict, updates seen.

    ``runs`` says how many runs must have been made to their end, all beginning with one loss.
    """

    source: str
    code: int = HEALTHY
    says: str = "Nothing that was tried makes this script train materially better."
    steps: int | None = STEPS
    training: str = TRAINING
    runs: int | None = None


ROWS = {
    "keeps odd company": Row(
        """
        import os, subprocess, threading, time
        from torch.utils.data import DataLoader, TensorDataset
        if os.fork() == 0:
            train()
            os._exit(0)
        os.wait()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                note(os.getpid())
                time.sleep(1e6)
            os._exit(0)
        os.wait()
        note(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid)
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
        loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, num_workers=2)
        for epoch in range(3):
            for batch in loader:
                update(*batch)
        """
    ),
    "upsets its process": Row(
        """
        import atexit, io, multiprocessing, os, shutil, signal, sys, tempfile
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        multiprocessing.set_start_method('spawn')
        atexit.register(lambda: open('farewell.txt', 'w').close())
        sys.setrecursionlimit(400)
        def down(): down()
        try:
            down()
        except RecursionError:
            pass
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        shutil.rmtree(folder)
        sys.stdout, sys.stderr = io.StringIO(), None
        sys.settrace(lambda *_: None)
        train()
        torch.set_default_dtype(torch.float64)
        torch.set_default_device('meta')
        """
    ),
    "replaces functions of torch": Row(
        f"""
        import torch.nn.functional as F
        backward, linear, calls = torch.Tensor.backward, F.linear, []
        def counted(self, *args, **kwargs):
            calls.append(1)
            return backward(self, *args, **kwargs)
        torch.Tensor.backward = counted
        F.linear = lambda *args: linear(*args) * 1.0
        torch.manual_seed = lambda seed: None
        torch.manual_seed(7)
        train()
        assert len(calls) == {STEPS}
        """,
        training=OWN_UPDATE + TRAINING,
    ),
    "replaces the update of an optimizer that is there": Row(
        OWN_UPDATE + "train()", UNKNOWN, "made no update of any parameter that could be seen.", 0
    ),
    "would not run twice": Row(
        """
        from pathlib import Path
        for place in (Path('made'), Path(__file__).with_name('also_made')):
            place.mkdir()  # fails where an earlier run made it
            (place / 'run.txt').write_text('ran')
        state = Path('state.pt')
        assert not state.exists()
        torch.save(model.state_dict(), state)
        model.load_state_dict(torch.load(state))
        Path('kept.txt').unlink()
        train()
        """
    ),
    "needs what only one can have": Row(
        """
        import fcntl, socket
        mine = open(__file__)
        fcntl.flock(mine, fcntl.LOCK_EX)  # waits for a run beside it
        log = open('kept.txt', 'a')
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # each run has its own
        fcntl.flock(mine, fcntl.LOCK_UN)
        held = socket.socket(socket.AF_UNIX)
        held.bind(chr(0) + __file__[-90:])  # fails beside another run
        train()
        __import__('time').sleep(0.2)
        """,
        runs=3,
    ),
    "leaves by os._exit": Row("import os\ntrain()\nos._exit(0)"),
    "puts another program in its place": Row(
        "import os, sys\ntrain()\nos.execv(sys.executable, [sys.executable, '-c', 'input()'])"
    ),
    "seeds itself from the clock": Row(
        "x, y = x[order], y[order] * scale\ntrain()",
        training=FROM_THE_CLOCK + TRAINING.replace("torch.manual_seed(0)\n", ""),
        runs=3,
    ),
    "takes numbers from the system": Row(
        "import os\ny = y * (1 + os.urandom(7)[0])\ntrain()", says="Runs of the script differ"
    ),
    "prints a gigabyte": Row(
        "import os\nfor _ in range(1024): os.write(1, bytes(2**20))",
        UNKNOWN,
        "made no update of any parameter that could be seen.",
        0,
    ),
    "trains in a thread": Row(
        "import threading\nt = threading.Thread(target=train)\nt.start()\nt.join()",
        UNKNOWN,
        "no loss that they come from could be seen",
    ),
    "closes every descriptor": Row(
        "import os\ntrain()\nos.closerange(0, 200)", UNKNOWN, "could not be recorded to its end", 0
    ),
    "kills who watches it": Row(
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()",
        UNKNOWN,
        "before it ended: the process that watched the trial died",
        0,
    ),
    "asks for input": Row("train(input('Steps? '))", REFUSED, "it asks for input"),
    "needs a GPU": Row(
        "raise AssertionError('Torch not compiled with CUDA enabled')",
        REFUSED,
        "it needs a GPU, and PyTorch finds none here",
    ),
    "leaves by os._exit with a code": Row(
        "import os\ntrain()\nos._exit(5)", REFUSED, "fails by itself (exit code 5)"
    ),
}


@dataclass
class Ended:
    """How a diagnosis ended: its exit code, what it said, its report, what it changed and left."""

    code: int
    says: str
    report: dict | None
    before: dict
    after: dict
    started: list[int]


@pytest.fixture
def diagnosed(tmp_path, tmp_path_factory, monkeypatch, capsys):
    """Diagnose a row's script on the command line, in a folder with a file of its own."""

    def run(row):
        aside = tmp_path_factory.mktemp("aside")
        monkeypatch.setenv("XDG_CACHE_HOME", str(aside))  # a place that trials may write in
        note = f"def note(pid): open({str(aside / 'pids')!r}, 'a').write(f'{{pid}} ')\n"
        (tmp_path / "train.py").write_text(row.training + note + textwrap.dedent(row.source))
        (tmp_path / "kept.txt").write_text("kept")
        monkeypatch.chdir(tmp_path)
        before, out = contents(tmp_path), aside / "out.json"
        words = ["--budget", "60s", "--only", ONLY, "--json", str(out), "train.py"]
        code = main(["diagnose", *words])
        pids = aside / "pids"
        started = [int(pid) for pid in pids.read_text().split()] if pids.exists() else []
        report = read(out) if out.exists() else None
        return Ended(code, capsys.readouterr().err, report, before, contents(tmp_path), started)

    return run


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", ROWS)
def test_ends_with_a_verdict_and_leaves_no_trace(name, diagnosed):
    row = ROWS[name]
    ended = diagnosed(row)
    said = ended.report["reason"] if ended.report else ended.says
    assert ended.code == row.code, said
    assert row.says in said.splitlines()[-1]
    assert ended.report is None or ended.report["script"]["steps"] == row.steps
    assert ended.after == ended.before
    if row.runs:
        runs = [ended.report["baseline"], *ended.report["trials"]]
        assert [run["ended"] for run in runs] == ["finished"] * row.runs
        assert len({run["loss"]["values"][0] for run in runs}) == 1
    time.sleep(0.1)
    assert not [pid for pid in ended.started if os.path.exists(f"/proc/{pid}")]
    assert (name == "keeps odd company") == bool(ended.started)
