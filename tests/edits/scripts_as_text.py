"""Small training scripts as people write them, and what becomes of them when they run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg.recorder import Listener, Session

SEED = 5

HEAD = """
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

x = torch.randn(48, 4) * torch.tensor([1.0, 5.0, 0.2, 3.0]) + 2.0
labels = (x[:, 0] - x[:, 2]).argsort().argsort() * 3 // 48
y = x[:, :1] * 20.0 + 300.0
losses = []
"""

PLAIN = """
model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
for step in range(5):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
"""

LOADER = """
model = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 3))
criterion = nn.CrossEntropyLoss()
loader = DataLoader(TensorDataset(x, labels), batch_size=8, shuffle=True)
opt = torch.optim.Adam(model.parameters())
for epoch in range(2):
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
with torch.no_grad():
    losses.append(criterion(model(x), labels).item())
"""

FUNCTIONS = """
class Net(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.first = nn.Linear(4, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)
        self.act = nn.ReLU()

    def forward(self, inputs):
        hidden = self.act(self.first(inputs))
        hidden = torch.sigmoid(self.second(hidden))
        return self.last(hidden)


def make(lr=1e-2, decay=0.1):
    net = Net()
    return net, torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=decay)


def train(net, optimizer, epochs, batch=12):
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(x))
        for i in range(0, len(x), batch):
            rows = order[i : i + batch]
            optimizer.zero_grad()
            loss = F.mse_loss(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())


model, optimizer = make()
train(model, optimizer, epochs=2)
"""

GROUPS = """
model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
optimizer = torch.optim.SGD(
    [
        {"params": model[0].parameters(), "weight_decay": 0.2},
        {"params": model[2].parameters(), "lr": 0.02},
    ],
    lr=0.1,
)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
for step in range(6):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())
"""

CLOSURE = """
model = nn.Linear(4, 3)
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=3)


def closure():
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    losses.append(loss.item())
    return loss


for step in range(3):
    optimizer.step(closure)
"""

OPTIONS = """
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--steps", type=int, default=4)
args = parser.parse_args()
model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
for step in range(args.steps):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(f"rate {args.lr}")
"""

DROPPING = """
model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
for step in range(4):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        held_out = F.cross_entropy(model(x[:16]), labels[:16])
    losses += [loss.item(), held_out.item()]
"""

BY_HAND = """
w = torch.zeros(4, 1, requires_grad=True)
for step in range(4):
    loss = ((x @ w - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 1e-3 * w.grad
    losses.append(loss.item())
"""


def run(text: str, path: Path, listeners: Sequence[Listener] = ()) -> list[float]:
    """The losses that a script takes down, from a fixed seed, and its parameters at the end."""
    path.write_text(text)
    names: dict[str, Any] = {"__name__": "__main__"}
    torch.manual_seed(SEED)
    code = compile(text, str(path), "exec")
    if listeners:
        with Session(list(listeners)):
            exec(code, names)
    else:
        exec(code, names)
    optimizer = names.get("optimizer", names.get("opt"))
    groups = [{"params": [names["w"]]}] if optimizer is None else optimizer.param_groups
    parameters = [p.detach().double() for group in groups for p in group["params"]]
    return [
        *names["losses"],
        sum(float(p.sum()) for p in parameters),
        sum(float(p.square().sum()) for p in parameters),
    ]


def lines(text: str) -> str:
    """A script written in a test, without the test's indentation."""
    return textwrap.dedent(text).lstrip("\n")
