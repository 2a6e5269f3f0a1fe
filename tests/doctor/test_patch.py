"""A remedy as a patch of the script, and nothing where part of it has no place there."""

from thalweg.doctor.patch import patch
from thalweg.interventions import Clipping, LearningRate, PermutedTargets

SCRIPT = b"""# -*- coding: latin-1 -*-
import torch
w = torch.ones(2, requires_grad=True)  # gr\xf6\xdfer
sgd = torch.optim.SGD([w], lr=8.0)
for step in range(3):
    w.square().sum().backward()
    sgd.step()
"""


def written(tmp_path, data=SCRIPT):
    path = tmp_path / "train.py"
    path.write_bytes(data)
    return path


def test_a_remedy_is_a_patch(tmp_path):
    path = written(tmp_path)
    assert patch(path, (), (LearningRate(0.1), Clipping(2.0))) == (
        f"--- {path}\n+++ {path}\n@@ -1,7 +1,8 @@\n"
        " # -*- coding: latin-1 -*-\n import torch\n"
        " w = torch.ones(2, requires_grad=True)  # größer\n"
        "-sgd = torch.optim.SGD([w], lr=8.0)\n"
        "+sgd = torch.optim.SGD([w], lr=0.8)\n"
        " for step in range(3):\n     w.square().sum().backward()\n"
        "+    torch.nn.utils.clip_grad_norm_([w], 2.0)\n     sgd.step()\n"
    )


def test_half_a_remedy_is_no_patch(tmp_path):
    assert patch(written(tmp_path), (), (LearningRate(0.1), PermutedTargets())) == ""


def test_what_cannot_be_read_has_no_patch(tmp_path):
    assert patch(tmp_path / "gone.py", (), (Clipping(),)) == ""
    assert patch(written(tmp_path, b"\xff\xfe"), (), (Clipping(),)) == ""
    assert patch(written(tmp_path, b"for ("), (), (Clipping(),)) == ""
