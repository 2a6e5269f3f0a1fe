"""Small training scripts with openings where a person would edit them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.recorder import Listener, Session

SEED = 11


def run(script: Callable[[], Iterable[Any]], listeners: Sequence[Listener] = ()) -> list[Any]:
    """What a script returns, from a fixed seed, with the random state that it left."""
    torch.manual_seed(SEED)
    if not listeners:
        found = list(script())
    else:
        with Session(list(listeners)):
            found = list(script())
    kept = [one.detach().clone() if isinstance(one, torch.Tensor) else one for one in found]
    return [*kept, torch.get_rng_state()]


def equal(left: list[Any], right: list[Any], rtol: float = 0.0) -> None:
    """Bit for bit, or to rounding."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(one, other, rtol=rtol, atol=rtol, equal_nan=True)
        else:
            assert one == other or abs(one - other) <= rtol * abs(one)


def different(left: list[Any], right: list[Any]) -> None:
    """The edit matters: else a test of it would show nothing."""
    tensors = [one for one in left if isinstance(one, torch.Tensor)]
    others = [one for one in right if isinstance(one, torch.Tensor)]
    pairs = list(zip(tensors, others, strict=True))[:-1]
    assert any(not torch.allclose(one, other) for one, other in pairs)


def table(rows: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Features far from standard, three classes."""
    x = torch.randn(rows, 4, dtype=torch.float64) * torch.tensor([1.0, 5.0, 0.2, 3.0]) + 2.0
    return x, (x[:, 0] - x[:, 2]).argsort().argsort() * 3 // rows


def network(width: int = 6, act: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """4 features, one hidden layer, 3 classes."""
    return nn.Sequential(nn.Linear(4, width), act(), nn.Linear(width, 3)).double()


Step = Callable[..., None]


def script(
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
    *,
    steps: int = 6,
    schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
    groups: bool = False,
    before_step: Callable[..., None] = lambda model, optimizer, step: None,
    clear: bool = True,
    loss_of: Callable[..., torch.Tensor] = lambda model, x, y: F.cross_entropy(model(x), y),
    made: Callable[..., None] = lambda model: None,
    make: Callable[[], nn.Module] = network,
    data: Callable[[torch.Tensor], torch.Tensor] = lambda x: x,
    upto: int = 1000,
    **options: Any,
) -> Callable[[], Iterable[Any]]:
    """A training script; every option is something that a person could edit in it."""
    options = {"lr": 0.1} | options

    def training() -> Iterable[Any]:
        x, y = table()
        x = data(x)
        model = make()
        made(model)
        params: Any = model.parameters()
        if groups:
            first, second = list(params)[:2], list(model.parameters())[2:]
            params = [{"params": first}, {"params": second, "lr": options["lr"] / 4}]
        chosen = optimizer(params, **options)
        scheduler = schedule(chosen) if schedule else None
        for step in range(steps):
            if clear:
                chosen.zero_grad()
            loss = loss_of(model, x, y)
            loss.backward()
            before_step(model, chosen, step)
            if step < upto:
                chosen.step()
            if scheduler:
                scheduler.step()
        model.eval()
        with torch.no_grad():
            out = model(x)
        return [*model.state_dict().values(), out, loss.item()]

    return training


def by_hand(rate: float, clear: bool = True, steps: int = 6) -> Callable[[], Iterable[Any]]:
    """Training that has no optimizer."""

    def training() -> Iterable[Any]:
        x, y = table()
        model = network()
        for _ in range(steps):
            F.cross_entropy(model(x), y).backward()
            for p in model.parameters():
                p.data -= rate * p.grad
                if clear:
                    p.grad.zero_()
        return model.parameters()

    return training


def by_autograd(rate: float, change: Callable[..., Any] = lambda gradients: gradients,
                steps: int = 6) -> Callable[[], Iterable[Any]]:  # fmt: skip
    """Training by torch.autograd.grad."""

    def training() -> Iterable[Any]:
        x, y = table()
        w = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
        b = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        for _ in range(steps):
            gradients = torch.autograd.grad(F.cross_entropy(x @ w + b, y), (w, b))
            with torch.no_grad():
                for p, g in zip((w, b), change(list(gradients)), strict=True):
                    p -= rate * g
        return [w, b]

    return training


def by_closure(
    *, clear: bool = True, steps: int = 3, **options: Any
) -> Callable[[], Iterable[Any]]:
    """Training by LBFGS."""

    def training() -> Iterable[Any]:
        x, y = table()
        model = network()
        optimizer = torch.optim.LBFGS(model.parameters(), **({"lr": 0.5, "max_iter": 3} | options))

        def evaluate() -> torch.Tensor:
            if clear:
                optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        for _ in range(steps):
            optimizer.step(evaluate)
        return model.parameters()

    return training
