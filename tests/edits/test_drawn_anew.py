"""Edits that draw numbers anew: not the same numbers as the intervention's, but the same law."""

import pytest
import torch
from scripts_as_text import FUNCTIONS, HEAD, run

from thalweg.edits import edited
from thalweg.interventions import Initialization, Shuffling, TargetStandardization
from thalweg.recorder import Session

WIDE = """
model = nn.Sequential(nn.Linear(300, 400), nn.Tanh(), nn.Linear(400, 300))
optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
for step in range(1):
    loss = model(torch.ones(2, 300)).square().mean()
    loss.backward()
    optimizer.step()
"""
RECURRENT = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.{kind}(4, 6, batch_first=True)

    def forward(self, data):
        return self.rnn(data)[0][:, -1]


model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
for step in range(1):
    loss = model(x[:, None]).square().mean()
    loss.backward()
    optimizer.step()
"""
IN_ORDER = """
model = nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
data = torch.arange(64.0)[:, None]
taken = []
for epoch in range(3):
    for i in range(0, 64, 16):
        rows = data[i : i + 16]
        taken += rows.flatten().tolist()
        loss = model(rows).square().mean()
        loss.backward()
        optimizer.step()
"""
EVALUATED = (
    FUNCTIONS
    + """
with torch.no_grad():
    errors = F.l1_loss(model(x), y)
"""
)


def names_of(source, listeners=()):
    names = {"__name__": "__main__"}
    torch.manual_seed(3)
    if listeners:
        with Session(list(listeners)):
            exec(compile(source, "script.py", "exec"), names)
    else:
        exec(compile(source, "script.py", "exec"), names)
    return names


@pytest.mark.parametrize("scheme", ["he", "glorot", "lecun", "orthogonal", "torch"])
def test_weights_have_the_same_spread(scheme):
    change = Initialization(scheme)
    after = names_of(edited(HEAD + WIDE, [change]).source)["model"]
    under = names_of(HEAD + WIDE, [change])["model"]
    pairs = zip(after.parameters(), under.parameters(), strict=True)
    for one, other in pairs:
        spread = other.std().item()
        error = (
            4 * spread / (2 * one.numel()) ** 0.5
        )  # of a deviation; weights have 120,000 entries
        assert one.std().item() == pytest.approx(spread, abs=2 * error)


def test_embeddings_have_the_same_spread():
    table = "model = nn.Sequential(nn.Embedding(4000, 16), nn.Linear(16, 2))\n"
    use = "optimizer = torch.optim.SGD(model.parameters(), 0.1)\nmodel(torch.arange(9))\n"
    change = Initialization("unit-rows")
    after = names_of(edited(HEAD + table + use, [change]).source)["model"][0].weight
    under = names_of(HEAD + table + use, [change])["model"][0].weight
    assert under.std().item() == pytest.approx(0.25, rel=0.02)
    assert after.std().item() == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("kind, gates", [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_each_gate_is_orthogonal(kind, gates):
    script = HEAD + RECURRENT.format(kind=kind)
    model = names_of(edited(script, [Initialization("orthogonal", True)]).source)["model"]
    blocks = model.rnn.weight_hh_l0.detach().chunk(gates)
    assert len(blocks) == gates
    for block in blocks:
        torch.testing.assert_close(block @ block.T, torch.eye(6), atol=1e-5, rtol=0)


def test_each_pass_takes_every_example_in_another_order():
    taken = names_of(edited(HEAD + IN_ORDER, [Shuffling()]).source)["taken"]
    passes = [taken[at : at + 64] for at in (0, 64, 128)]
    assert all(sorted(one) == [float(i) for i in range(64)] for one in passes)
    assert len({tuple(one) for one in passes}) == 3


def test_standardized_targets_train_the_same_network(tmp_path):
    change = TargetStandardization(300.0, 15.0, 2, 3)
    source = HEAD + EVALUATED
    after, under = names_of(edited(source, [change]).source), names_of(source, [change])
    torch.testing.assert_close(after["errors"], under["errors"], rtol=1e-4, atol=0)
    for one, other in zip(after["model"].parameters(), under["model"].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    own = run(source, tmp_path / "script.py")
    scaled = [loss * 15.0**2 for loss in after["losses"]]
    assert scaled == pytest.approx(under["losses"], rel=1e-3)
    assert scaled != pytest.approx(own[: len(scaled)], rel=1e-2)


COLUMNS = """
x = torch.linspace(-1, 1, 120).reshape(40, 3)
y = x[:, :2].sin() * torch.tensor([40.0, 0.02]) + torch.tensor([200.0, 0.1])
model = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(5):
    for i in range(0, 40, 8):
        loss = F.mse_loss(model(x[i : i + 8]), y[i : i + 8])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
with torch.no_grad():
    errors = (model(x) - y).abs().mean(0)
"""


def test_columns_of_targets_are_standardized_each_by_its_own_numbers():
    change = TargetStandardization([200.0, 0.1], [20.0, 0.01], 1, 2)
    lines = edited(HEAD + COLUMNS, [change]).source
    assert (
        "target_mean, target_std = torch.tensor([200.0, 0.1]), torch.tensor([20.0, 0.01])" in lines
    )
    after, under = names_of(lines), names_of(HEAD + COLUMNS, [change])
    torch.testing.assert_close(after["errors"], under["errors"], rtol=1e-3, atol=0)
    without = names_of(HEAD + COLUMNS)["errors"]
    assert (after["errors"] < without / 2).all()
    for one, other in zip(after["model"].parameters(), under["model"].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
