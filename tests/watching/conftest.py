"""One thread, an own folder, and the training programs of the recorder's tests."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "recorder"))


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
