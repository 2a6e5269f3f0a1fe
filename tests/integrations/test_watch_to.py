"""`thalweg watch --to`: a script that knows nothing of a tracker, seen in one."""

import subprocess
import sys

SCRIPT = """
import torch
torch.manual_seed(0)
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
for step in range(5):
    loss = net(torch.randn(8, 3)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(repr(loss.item()))
"""


def watch(tmp_path, *options):
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "thalweg", "watch", *options, "train.py"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_a_script_is_seen_in_tensorboard(tmp_path):
    done = watch(tmp_path, "--to", "tensorboard")
    assert done.returncode == 0, done.stderr
    plain = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == plain.stdout
    (events,) = tmp_path.glob("runs/thalweg-*/events.out.tfevents.*")
    assert b"thalweg/update-over-weight" in events.read_bytes()


def test_an_unknown_tracker_is_refused_before_the_script_runs(tmp_path):
    done = watch(tmp_path, "--to", "aim")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "tensorboard" in done.stderr
