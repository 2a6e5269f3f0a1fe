"""Small trainings with one fault by construction, and the same ones without it.

Each is a function of whether it is faulty. It trains, evaluates under ``no_grad`` what a person
would, and returns that number: the lower the better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.landscapes import plateau, saddle

Program = Callable[[bool], float]


def descend(params: Any, loss_of: Callable[[int], torch.Tensor], steps: int, **how: Any) -> None:
    """Train; ``kind`` is an optimizer of PyTorch."""
    optimizer = how.pop("kind", torch.optim.SGD)(list(params), **how)
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_of(step)
        loss.backward()
        optimizer.step()


def rows_of(count: int, size: int, step: int) -> torch.Tensor:
    """Minibatch number ``step`` of so many examples, each pass in another order."""
    each = count // size
    order = torch.randperm(count, generator=torch.Generator().manual_seed(step // each))
    return order[step % each * size :][:size]


def wrong(model: Callable[..., torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of wrong answers."""
    with torch.no_grad():
        return (model(x).argmax(1) != y).float().mean().item()


def batches_of_one(faulty: bool) -> float:
    """A linear model of noisy measurements."""
    truth = torch.randn(10)
    x = torch.randn(2000, 10)
    y = x @ truth + 3.0 * torch.randn(2000)
    w = torch.zeros(10, requires_grad=True)
    size = 1 if faulty else 100

    def loss(step: int) -> torch.Tensor:
        rows = rows_of(2000, size, step)
        return (x[rows] @ w - y[rows]).square().mean()

    descend([w], loss, 800 if faulty else 250, lr=0.03)
    with torch.no_grad():
        return (w - truth).square().mean().sqrt().item()


def rare_words(faulty: bool) -> float:
    """Whether a text is cheerful, by embeddings of words of which most are rare."""
    vocabulary = 400
    frequency = 1.0 / torch.arange(1, vocabulary + 1)
    tone = torch.randn(vocabulary)
    words = torch.multinomial(frequency.expand(3000, -1), 8, replacement=True)
    y = (tone[words].sum(1) > 0).long()
    embedding, head = nn.Embedding(vocabulary, 8), nn.Linear(8, 2)
    nn.init.normal_(embedding.weight, std=0.05)
    params = [*embedding.parameters(), *head.parameters()]
    model = lambda w: head(embedding(w).mean(1))

    def loss(step: int) -> torch.Tensor:
        rows = rows_of(2500, 5, step)
        return F.cross_entropy(model(words[rows]), y[rows])

    how: dict[str, Any] = {"lr": 0.1} if faulty else {"kind": torch.optim.Adam, "lr": 1e-2}
    descend(params, loss, 400, **how)
    return wrong(model, words[2500:], y[2500:])


def rare_spikes(faulty: bool) -> float:
    """Counts whose logarithm is linear in the inputs; a few inputs are far too large."""
    truth = torch.tensor([0.5, -0.4, 0.3])
    x = torch.randn(3000, 3)
    counts = torch.poisson((x @ truth).exp())
    if faulty:
        x[700::977] *= 20.0
    w = torch.zeros(3, requires_grad=True)

    def loss(step: int) -> torch.Tensor:
        rows = slice(30 * (step % 100), 30 * (step % 100) + 30)
        return ((x[rows] @ w).exp() - counts[rows] * (x[rows] @ w)).mean()

    descend([w], loss, 400, lr=0.05)
    with torch.no_grad():
        found = (w - truth).abs().mean().item()
    return found if math.isfinite(found) else 1e3


def on_the_ridge(faulty: bool) -> float:
    """The landscape of two valleys, from all but exactly between them."""
    valley = saddle()
    start = torch.tensor([1.5, 1e-11 if faulty else 0.5], dtype=torch.float64)
    place = start.requires_grad_()
    descend([place], lambda _: 1 + valley.loss(place), 80, lr=0.1)
    with torch.no_grad():
        return 1 + valley.loss(place).item()


def all_but_zero(faulty: bool) -> float:
    """A linear autoencoder of correlated numbers whose weights start at almost nothing."""
    x = torch.randn(400, 4) @ torch.randn(4, 12)
    model = nn.Sequential(nn.Linear(12, 4, bias=False), nn.Linear(4, 12, bias=False))
    if faulty:
        for p in model.parameters():
            nn.init.normal_(p, std=1e-8)
    descend(model.parameters(), lambda _: F.mse_loss(model(x), x), 120, lr=0.1)
    with torch.no_grad():
        return F.mse_loss(model(x), x).item()


def far_out(faulty: bool) -> float:
    """The landscape of a bowl in a plain, from the plain."""
    plain = plateau()
    start = (8.0 if faulty else 0.2) * plain.start
    place = start.clone().requires_grad_()
    descend([place], lambda _: plain.loss(place), 450, lr=0.1)
    with torch.no_grad():
        return plain.loss(place).item() - plain.minimum


def blobs(classes: int = 4, each: int = 150, features: int = 10) -> tuple[torch.Tensor, ...]:
    """Classes around centers of their own, in random order."""
    centers = 2.5 * torch.randn(classes, features)
    y = torch.randperm(classes * each) % classes
    return centers[y] + torch.randn(len(y), features), y


def shuffled_apart(faulty: bool) -> float:
    """A classifier whose inputs were shuffled without their labels."""
    x, y = blobs()
    given = x[:400][torch.randperm(400)] if faulty else x[:400]
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))

    def loss(step: int) -> torch.Tensor:
        rows = rows_of(400, 40, step)
        return F.cross_entropy(model(given[rows]), y[rows])

    descend(model.parameters(), loss, 100, kind=torch.optim.Adam, lr=3e-3)
    return wrong(model, x[400:], y[400:])


def a_third_wrong(faulty: bool) -> float:
    """A classifier of which every third label was given to the next class."""
    x, y = blobs(features=20)
    labels = torch.where(torch.rand(len(y)) < 0.35, (y + 1) % 4, y) if faulty else y
    model = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 4))

    def loss(step: int) -> torch.Tensor:
        rows = rows_of(400, 40, step)
        return F.cross_entropy(model(x[rows]), labels[rows])

    descend(model.parameters(), loss, 400, kind=torch.optim.Adam, lr=1e-2)
    return wrong(model, x[400:], y[400:])


def digits_of(model: nn.Module, lr: float = 1e-2, steps: int = 200) -> float:
    """Ten classes around centers of their own."""
    x, y = blobs(10, 80, 20)

    def loss(step: int) -> torch.Tensor:
        rows = rows_of(600, 60, step)
        return F.cross_entropy(model(x[rows]), y[rows])

    descend(model.parameters(), loss, steps, kind=torch.optim.Adam, lr=lr)
    return wrong(model, x[600:], y[600:])


def bottleneck(faulty: bool) -> float:
    """Ten classes through one unit."""
    middle = 1 if faulty else 32
    return digits_of(
        nn.Sequential(
            nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, middle), nn.Tanh(),
            nn.Linear(middle, 32), nn.Tanh(), nn.Linear(32, 10),
        )
    )  # fmt: skip


def board(model: nn.Module, steps: int = 250) -> float:
    """The two colors of a board of three by three."""
    x = 3 * torch.rand(1500, 2) - 1.5
    y = ((x + 1.5).floor().sum(1) % 2).long()

    def loss(step: int) -> torch.Tensor:
        rows = rows_of(1200, 100, step)
        return F.cross_entropy(model(x[rows]), y[rows])

    descend(model.parameters(), loss, steps, kind=torch.optim.Adam, lr=1e-2)
    return wrong(model, x[1200:], y[1200:])


def no_activation(faulty: bool) -> float:
    """A board that no line divides, by layers without an activation."""
    between: nn.Module = nn.Identity() if faulty else nn.ReLU()
    return board(
        nn.Sequential(nn.Linear(2, 48), between, nn.Linear(48, 48), between, nn.Linear(48, 2))
    )


def doubled(faulty: bool) -> float:
    """Rectifiers of a softsign's square, which is never negative, and small."""
    twice = [nn.ReLU(), nn.Sigmoid()] if faulty else [nn.ReLU()]
    layers = [nn.Linear(20, 24), *twice, nn.Linear(24, 24), *twice, nn.Linear(24, 24), *twice]
    return digits_of(nn.Sequential(*layers, nn.Linear(24, 10)), lr=1e-3, steps=150)


def few_units(faulty: bool) -> float:
    """A board by two units in a layer."""
    width = 2 if faulty else 40
    return board(
        nn.Sequential(
            nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
        ),
        400,
    )


PROGRAMS: dict[str, tuple[str, Program]] = {
    "batches of one": ("gradient-noise", batches_of_one),
    "rare words": ("weak-optimizer", rare_words),
    "rare spikes": ("cliff", rare_spikes),
    "on the ridge": ("saddle-point", on_the_ridge),
    "all but zero": ("saddle-point", all_but_zero),
    "far out": ("plateau", far_out),
    "shuffled apart": ("mislabeled-data", shuffled_apart),
    "a third wrong": ("mislabeled-data", a_third_wrong),
    "a bottleneck": ("bad-architecture", bottleneck),
    "no activation": ("bad-architecture", no_activation),
    "doubled": ("bad-architecture", doubled),
    "few units": ("underfitting", few_units),
}
