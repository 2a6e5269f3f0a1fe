"""Landscapes of known truth, diagnosed: what is there by construction comes first, proved."""

import pytest

from thalweg.doctor import diagnose

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("imported_once")]

DESCENT = """
import torch
from thalweg import landscapes
torch.set_num_threads(1)
land = landscapes.{land}
w = torch.nn.Parameter(torch.tensor({start}, dtype=torch.float64))
optimizer = torch.optim.SGD([w], lr={rate})
for step in range({steps}):
    optimizer.zero_grad()
    loss = land(w) - land.minimum
    loss.backward()
    optimizer.step()
"""

# The landscape, the start, the rate and the steps; what holds the run back.
ROWS = {
    "10^4 at 1.9 / 10^4": ("quadratic((1.0, 1e4))", (1.0, 1.0), 1.9e-4, 250, "ill-conditioning"),
    "beside the ridge": ("saddle()", (1.5, 1e-12), 0.1, 100, "saddle-point"),
    "down to the wall": ("cliff()", (1.05 / 0.85**6, 1.0), 0.3, 20, "cliff"),
}


@pytest.mark.parametrize("name", ROWS)
def test_is_named_first(name, tmp_path):
    land, start, rate, steps, cause = ROWS[name]
    path = tmp_path / "train.py"
    path.write_text(DESCENT.format(land=land, start=start, rate=rate, steps=steps))
    found = diagnose(path, budget=600, control=False)
    assert found.verdict == "obstructed", found.reason
    assert found.data["findings"][0]["cause"] == cause
    assert found.data["findings"][0]["verified"]["held"]
