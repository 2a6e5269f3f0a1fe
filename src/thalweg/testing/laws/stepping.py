"""A step as training loops make it: with closures, hooks, scalers; and what it must achieve."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from thalweg.testing.contract import NotApplicable, law
from thalweg.testing.demands import demand, must_be_equal, must_be_finite, must_stay
from thalweg.testing.subject import Subject, values

DESCENT = 20  # steps


@law
def closure_is_called(subject: Subject) -> str | None:
    """`step(closure)` calls the closure with autograd on, once, and returns its (first) loss.

    Loops written for L-BFGS run with every optimizer; a second call doubles the cost of a step.
    """
    params = subject.parameters()
    optimizer = subject.build(params)
    losses: list[Tensor] = []

    def closure() -> Tensor:
        losses.append(_descent(subject, params))
        return losses[-1]

    with torch.no_grad():  # as inside a loop that forgot to switch it on again
        returned: Any = optimizer.step(closure)  # type: ignore[arg-type]  # PyTorch's says float
    demand(returned is not None, "the loss was not returned")
    first, said = float(losses[0]), float(returned)
    demand(said == first, f"the loss was {first:.6g}, returned was {said:.6g}")
    demand(subject.needs_closure or len(losses) == 1, f"the closure was called {len(losses)} times")
    return f"called {len(losses)} times" if len(losses) > 1 else None


def _bowl(params: list[torch.nn.Parameter]) -> Tensor:
    """A convex quadratic with curvatures 1 and 2 and its minimum at 0."""
    parts = [(p.abs() ** 2).sum() * (1 + place % 2) / 2 for place, p in enumerate(params)]
    return torch.stack([part.double() for part in parts]).sum()


def _descent(subject: Subject, params: list[torch.nn.Parameter]) -> Tensor:
    """The loss, its gradients set; fails where autograd is switched off."""
    loss = _bowl(params)
    if subject.needs_graph:
        for p in params:
            p.grad = None
        torch.autograd.backward(loss)
        return loss
    gradients = torch.autograd.grad(loss, params)
    for p, g in zip(params, gradients, strict=True):
        p.grad = subject.as_taken(g)
    return loss.detach()


def _step_downhill(
    subject: Subject, optimizer: torch.optim.Optimizer, params: list[torch.nn.Parameter]
) -> None:
    if subject.needs_closure:
        optimizer.step(lambda: _descent(subject, params))  # type: ignore[arg-type, return-value]
    else:
        _descent(subject, params)
        optimizer.step()


@law
def loss_goes_down(subject: Subject) -> str:
    """On a convex quadratic the loss after twenty steps is below the first.

    It is the least that the settings under test must achieve.
    """
    params = subject.parameters()
    optimizer = subject.build(params)
    first = float(_bowl(params))
    for _ in range(DESCENT):
        _step_downhill(subject, optimizer, params)
    last = float(_bowl(params))
    demand(last < first, f"the loss went from {first:.4g} to {last:.4g}")
    return f"from {first:.3g} to {last:.3g}"


@law
def steps_are_repeatable(subject: Subject) -> None:
    """Twice the same run, with the same seed, gives the same bits.

    Without that no fault can be reproduced.
    """
    must_be_equal(subject.ends(), subject.ends(), "the second of two equal runs")


@law
def step_hooks(subject: Subject) -> None:
    """Hooks before and after a step are called once each, around the change, in PyTorch's order.

    Profilers, schedulers of other libraries and recorders look in through them.
    """
    optimizer, params = subject.started()
    starts, calls = values(params), []

    def hook(name: str) -> Any:
        def called(*_: Any) -> None:
            moved = any(not torch.equal(p, x) for p, x in zip(params, starts, strict=True))
            calls.append(f"{name} {'after' if moved else 'before'}")

        return called

    handles = [
        register_optimizer_step_pre_hook(hook("global pre-hook")),
        register_optimizer_step_post_hook(hook("global post-hook")),
        optimizer.register_step_pre_hook(hook("pre-hook")),
        optimizer.register_step_post_hook(hook("post-hook")),
    ]
    try:
        subject.run(optimizer, params, steps=1, first=subject.steps)
    finally:
        for handle in handles:
            handle.remove()
    expected = ["global pre-hook before", "pre-hook before"]
    expected += ["post-hook after", "global post-hook after"]
    demand(calls == expected, f"called were: {', '.join(calls) or 'none'}")


@law
def state_hooks(subject: Subject) -> None:
    """Hooks around `state_dict` and `load_state_dict` are called, each once.

    Sharding and renaming libraries translate states in them.
    """
    optimizer = subject.build(subject.parameters())
    calls: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda *_: calls.append("save"))
    optimizer.register_state_dict_post_hook(lambda *_: calls.append("saved"))
    optimizer.register_load_state_dict_pre_hook(lambda *_: calls.append("load"))
    optimizer.register_load_state_dict_post_hook(lambda *_: calls.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    demand(
        calls == ["save", "saved", "load", "loaded"], f"called were: {', '.join(calls) or 'none'}"
    )


@law
def zero_grad(subject: Subject) -> None:
    """`zero_grad()` forgets the gradients; with `set_to_none=False` it zeroes them in place.

    Everyone calls it.
    """
    if subject.sparse:
        raise NotApplicable("takes sparse gradients only")
    params = subject.parameters()
    optimizer = subject.build(params)
    held = [torch.ones_like(p) for p in params]
    for p, g in zip(params, held, strict=True):
        p.grad = g
    optimizer.zero_grad(set_to_none=False)
    zeroed = all(p.grad is g and not g.any() for p, g in zip(params, held, strict=True))
    demand(zeroed, "zero_grad(set_to_none=False) did not zero the gradients in place")
    optimizer.zero_grad()
    demand(all(p.grad is None for p in params), "zero_grad() left gradients behind")


@law
def grad_scaler(subject: Subject) -> None:
    """Under `torch.amp.GradScaler` an infinite gradient skips the step; finite ones change nothing.

    Mixed precision depends on it: one step on an overflow ruins the parameters.
    """
    if subject.needs_closure:
        raise NotApplicable("needs a closure, which GradScaler does not support")
    params = subject.parameters()
    optimizer = subject.build(params)
    scaler = torch.amp.GradScaler(subject.device.type, init_scale=2.0**8)
    _scaled_step(subject, scaler, optimizer, params, 0, factor=torch.inf)
    must_stay(params, subject.starts, "a step on infinite gradients moved a parameter")
    for at in range(subject.steps):
        _scaled_step(subject, scaler, optimizer, params, at)
    must_be_finite(params, "after a skipped step")
    must_be_equal(values(params), subject.ends(), "with scaled gradients, a parameter")


def _scaled_step(
    subject: Subject,
    scaler: torch.amp.GradScaler,
    optimizer: torch.optim.Optimizer,
    params: list[torch.nn.Parameter],
    at: int,
    factor: float = 1.0,
) -> None:
    scale = scaler.scale(torch.ones((), device=subject.device))
    for p, g in subject.gradients(params, at).items():
        p.grad = subject.as_taken(g * scale.to(g.dtype) * factor)
    subject.seed()
    scaler.step(optimizer)
    scaler.update()


@law
def representation(subject: Subject) -> None:
    """`repr` works and names the class and its settings.

    It is what logs show of an optimizer.
    """
    optimizer = subject.build(subject.parameters())
    shown = repr(optimizer)
    demand(type(optimizer).__name__ in shown, "repr does not name the class")
    missing = [name for name in optimizer.defaults if name not in shown]
    demand(not missing, f"repr does not show {', '.join(missing)}")
