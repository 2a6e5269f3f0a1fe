"""Training in many styles on forty samples, of which some can be removed by hand.

A style is given the batches, as row numbers, and ``outputs_seen(rows, outputs)``, by which a test
watches the gradient that arrives at the outputs for these rows. It returns what it trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

SAMPLES = 40
Watch = Callable[[torch.Tensor, torch.Tensor], None]
Style = Callable[[Sequence[torch.Tensor], Watch], Iterable[torch.Tensor]]
STYLES: dict[str, Style] = {}


def style(function: Style) -> Style:
    """A style for the table."""
    STYLES[function.__name__] = function
    return function


def table() -> tuple[torch.Tensor, torch.Tensor]:
    """Four features and three classes."""
    random = torch.Generator().manual_seed(3)
    x = torch.randn(SAMPLES, 4, generator=random, dtype=torch.float64)
    return x, (x[:, 0] * 2 - x[:, 1]).argsort().argsort() * 3 // SAMPLES


def network(outputs: int = 3) -> nn.Sequential:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, outputs)).double()


def by_loss(
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor], outputs: int = 3
) -> Style:
    """The loss of outputs, features and classes, by SGD on rows of the data."""

    def train(batches: Sequence[torch.Tensor], watch: Watch) -> Iterable[torch.Tensor]:
        x, y = table()
        model = network(outputs)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
        for rows in batches:
            optimizer.zero_grad()
            out = model(x[rows])
            watch(rows, out)
            loss(out, x[rows], y[rows]).backward()
            optimizer.step()
        return model.parameters()

    return train


def likelihood(out: Any, x: Any, y: Any) -> torch.Tensor:
    return F.cross_entropy(out, y)


def positive(y: torch.Tensor) -> torch.Tensor:
    return (y > 0).double()


STYLES |= {
    "cross_entropy": by_loss(likelihood),
    "as_a_module": by_loss(
        lambda out, x, y: nn.CrossEntropyLoss(
            weight=torch.tensor([1.0, 2.0, 3.0]).double(), ignore_index=1, label_smoothing=0.1
        )(out, y)
    ),
    "summed": by_loss(lambda out, x, y: F.cross_entropy(out, y, reduction="sum") * 0.1),
    "each_then_mean": by_loss(lambda out, x, y: F.cross_entropy(out, y, reduction="none").mean()),
    "likelihood_of_logarithms": by_loss(
        lambda out, x, y: F.nll_loss(torch.log_softmax(out, 1), target=y)
    ),
    "squares": by_loss(lambda out, x, y: nn.MSELoss()(out, x[:, :3])),
    "squares_the_other_way_round": by_loss(lambda out, x, y: F.mse_loss(x[:, :3], out)),
    "squares_by_hand": by_loss(lambda out, x, y: ((out - x[:, :3]) ** 2).mean()),
    "squares_of_rows": by_loss(lambda out, x, y: 0.5 * (x[:, :3] - out).pow(2).sum(1).mean()),
    "product_with_itself": by_loss(
        lambda out, x, y: torch.mean((d := out.squeeze(1) - x[:, 0]) * d), 1
    ),
    "absolute_sum": by_loss(lambda out, x, y: 0.05 * (x[:, :3] - out).abs().sum()),
    "two_classes": by_loss(
        lambda out, x, y: F.binary_cross_entropy_with_logits(
            out[:, 0], positive(y), weight=x[:, 0].abs()
        ),
        1,
    ),
    "two_classes_by_hand": by_loss(
        lambda out, x, y: (
            -(positive(y) * torch.log(p := torch.sigmoid(out[:, 0])))
            - (1 - positive(y)) * torch.log(1 - p)
        ).mean(),
        1,
    ),
    "picked": by_loss(
        lambda out, x, y: -torch.log_softmax(out, 1)[torch.arange(len(y)), y].mean()
    ),
    "picked_by_range": by_loss(
        lambda out, x, y: -out.log_softmax(-1)[range(len(y)), y].mean()
    ),
    "gathered": by_loss(
        lambda out, x, y: -torch.log_softmax(out, 1).gather(1, y.view(-1, 1)).mean()
    ),
    "one_hot": by_loss(
        lambda out, x, y: -(F.one_hot(y, 3) * torch.log_softmax(out, 1)).sum(dim=1).mean()
    ),
    "quantile": by_loss(
        lambda out, x, y: torch.maximum(0.9 * (d := x[:, 0] - out[:, 0]), -0.1 * d).mean(), 1
    ),
    "own_variance": by_loss(
        lambda out, x, y: (
            (out[:, 0] - x[:, 0]) ** 2 * torch.exp(-out[:, 1]) + out[:, 1]
        ).mean(),
        2,
    ),
    "two_heads": by_loss(
        lambda out, x, y: F.cross_entropy(out[:, :3], y) + F.mse_loss(out[:, 3], x[:, 2]), 4
    ),
}  # fmt: skip


@style
def with_a_penalty(batches, watch):
    x, y = table()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for rows in batches:
        out = model(x[rows])
        watch(rows, out)
        loss = F.cross_entropy(out, y[rows]) + 0.01 * sum(
            p.square().sum() for p in model.parameters()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.parameters()


@style
def bare_tensors(batches, watch):
    x, y = table()
    w = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for rows in batches:
        out = x[rows] @ w.T + b
        watch(rows, out)
        gradients = torch.autograd.grad(F.cross_entropy(out, y[rows]), (w, b))
        with torch.no_grad():
            for p, g in zip((w, b), gradients, strict=True):
                p -= 0.2 * g
    return [w, b]


@style
def a_line(batches, watch):
    x = table()[0][:, 0]
    y = 3 * x - 1
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for rows in batches:
        out = w * x[rows] + b
        watch(rows, out)
        ((out - y[rows]) ** 2).mean().backward()
        with torch.no_grad():
            for p in (w, b):
                p -= 0.1 * p.grad
                p.grad = None
    return [w, b]


@style
def accumulated(batches, watch):
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for at, rows in enumerate(batches):
        out = model(x[rows])
        watch(rows, out)
        (F.cross_entropy(out, y[rows]) / 2).backward()
        if at % 2:
            optimizer.step()
            optimizer.zero_grad()
    return model.parameters()


@style
def evaluated_between(batches, watch):
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for rows in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x[:9] + 1), y[:9])  # of other data, and nobody differentiates it
        out = model(x[rows])
        watch(rows, out)
        F.cross_entropy(out, y[rows]).backward()
        optimizer.step()
    return model.parameters()


@style
def checkpointed(batches, watch):
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for rows in batches:
        optimizer.zero_grad()
        out = checkpoint(model, x[rows], use_reentrant=False)
        watch(rows, out)
        F.cross_entropy(out, y[rows]).backward()
        optimizer.step()
    return model.parameters()


@style
def refilled_buffers(batches, watch):
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = {len(rows): torch.empty(len(rows), 4, dtype=torch.float64) for rows in batches}
    for rows in batches:
        optimizer.zero_grad()
        out = model(inputs[len(rows)].copy_(x[rows]))
        watch(rows, out)
        F.cross_entropy(out, y[rows]).backward()
        optimizer.step()
    return model.parameters()


@style
def outputs_that_nobody_uses(batches, watch):
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for rows in batches:
        optimizer.zero_grad()
        model(x[:9] + torch.rand(1, dtype=torch.float64)).argmax(1)
        out = model(x[rows])
        watch(rows, out)
        F.cross_entropy(out, y[rows]).backward()
        optimizer.step()
    return model.parameters()


@style
def loader(batches, watch):
    x, y = table()
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    rows = torch.arange(SAMPLES)
    data = DataLoader(TensorDataset(x, y, rows), batch_sampler=[one.tolist() for one in batches])
    for xs, ys, which in data:
        optimizer.zero_grad()
        out = model(xs)
        watch(which, out)
        F.cross_entropy(out, ys).backward()
        optimizer.step()
    return model.parameters()


@style
def embedded_words(batches, watch):
    words = (table()[0] * 30).long() % 10
    y = table()[1]
    table_of_words = torch.randn(10, 2, dtype=torch.float64, requires_grad=True)
    w = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([table_of_words, w], lr=0.1)
    for rows in batches:
        optimizer.zero_grad()
        out = table_of_words[words[rows]].view(-1, 8) @ w
        watch(rows, out)
        F.cross_entropy(out, y[rows]).backward()
        optimizer.step()
    return [table_of_words, w]


def sequences() -> tuple[torch.Tensor, torch.Tensor]:
    """Five steps of three features, and a class for every step."""
    random = torch.Generator().manual_seed(4)
    x = torch.randn(SAMPLES, 5, 3, generator=random, dtype=torch.float64)
    x[:, 0] = 1.0  # the first step alone tells nobody from the others
    return x, (x.cumsum(1)[:, :, 0] > 0).long()


@style
def a_class_for_every_step(batches, watch):
    x, y = sequences()
    cell, head = nn.GRU(3, 4, batch_first=True).double(), nn.Linear(4, 2).double()
    optimizer = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
    for rows in batches:
        optimizer.zero_grad()
        out = head(cell(x[rows])[0])
        watch(rows, out)
        F.cross_entropy(out.view(-1, 2), y[rows].view(-1)).backward()
        optimizer.step()
    return [*cell.parameters(), *head.parameters()]


@style
def time_first(batches, watch):
    x, y = sequences()
    cell, head = nn.LSTM(3, 4).double(), nn.Linear(4, 2).double()
    optimizer = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
    for rows in batches:
        optimizer.zero_grad()
        out = head(cell(x[rows].transpose(0, 1))[0][-1])
        watch(rows, out)
        F.cross_entropy(out, y[rows][:, -1]).backward()
        optimizer.step()
    return [*cell.parameters(), *head.parameters()]


@style
def a_loop_over_time(batches, watch):
    x, y = sequences()
    into, head = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()
    trained = [*into.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for rows in batches:
        optimizer.zero_grad()
        state = torch.zeros(len(rows), 4, dtype=torch.float64)
        for step in range(5):
            state = torch.tanh(into(x[rows, step]) + 0.5 * state)
        out = head(state)
        watch(rows, out)
        F.cross_entropy(out, y[rows, -1]).backward()
        optimizer.step()
    return trained


@style
def by_closure(batches, watch):
    x, y = table()
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.3, max_iter=2)
    for rows in batches:

        def evaluate(rows: torch.Tensor = rows) -> torch.Tensor:
            optimizer.zero_grad()
            out = model(x[rows])
            watch(rows, out)
            loss = F.cross_entropy(out, y[rows])
            loss.backward()
            return loss

        optimizer.step(evaluate)
    return model.parameters()
