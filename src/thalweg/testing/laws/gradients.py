"""What becomes of gradients: they are read, they may be missing, and they may be ill."""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.testing.contract import NotApplicable, law
from thalweg.testing.demands import (
    demand,
    must_agree,
    must_be_equal,
    must_differ,
    must_stay,
    needs,
    refusal,
)
from thalweg.testing.subject import Subject, values


@law
def gradient_untouched(subject: Subject) -> None:
    """A step only reads `p.grad`: same tensor, same values, with decay and `maximize` too.

    Gradients are logged, clipped, accumulated and reduced by others after the step. An optimizer
    that calls a closure more than once may leave another tensor, but writes to none it was given.
    """
    tried: tuple[dict[str, object], ...] = ({}, {"weight_decay": 0.1}, {"maximize": True})
    for settings in tried:
        if all(subject.takes(name) for name in settings):
            _only_read(subject, settings)


def _only_read(subject: Subject, settings: dict[str, object]) -> None:
    params = subject.parameters()
    optimizer = subject.build(params, **settings)
    given = ", ".join(f"{name}={value}" for name, value in settings.items()) or "the defaults"
    seen: list[tuple[Tensor, int, Tensor]] = []

    def watch() -> None:
        seen.extend((g, g._version, g.clone()) for g in (p.grad for p in params) if g is not None)

    for at in range(subject.steps):
        seen.clear()
        subject.step(optimizer, subject.gradients(params, at), watch)
        for p, (gradient, _, _) in zip(params, seen[-len(params) :], strict=True):
            now = "None" if p.grad is None else "another tensor"
            kept = p.grad is gradient or (subject.needs_closure and p.grad is not None)
            demand(kept, f"with {given}, p.grad is {now} after the step")
        for gradient, version, copy in seen:
            must_be_equal(dense(gradient), dense(copy), f"with {given}, p.grad was changed")
            demand(gradient._version == version, f"with {given}, p.grad was written to")


def dense(gradient: Tensor) -> list[Tensor]:
    """The gradient's numbers, whatever its layout."""
    return [gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()]


@law
def no_gradient_no_change(subject: Subject) -> None:
    """A parameter whose `grad` is None stays where it is, weight decay or not; others move.

    Frozen layers and unused branches have no gradient, and must not be worn away meanwhile.
    """
    settings = {"weight_decay": 0.1} if subject.takes("weight_decay") else {}
    idle, busy = subject.parameters()[:2]
    optimizer = subject.build([idle, busy], **settings)
    starts = values([idle, busy])
    for at in range(subject.steps):
        subject.step(optimizer, {idle: None, busy: subject.gradient(busy, at)})
    must_stay([idle], starts[:1], "a parameter without gradient moved")
    must_differ([busy.detach()], starts[1:], "the parameter with gradient did not move")


@law
def no_gradients_at_all(subject: Subject) -> None:
    """A step without any gradient changes nothing and does not fail.

    The first step after `zero_grad`, or a rank without data, must not end a run.
    """
    params = subject.parameters()
    starts = values(params)
    optimizer = subject.build(params)
    subject.step(optimizer, dict.fromkeys(params))
    must_stay(params, starts, "parameters moved")


@law
def frozen_parameter(subject: Subject) -> None:
    """A parameter with `requires_grad=False` is accepted and stays where it is.

    Whole models are handed over, frozen layers included.
    """
    frozen, busy = subject.parameters()[:2]
    frozen.requires_grad_(False)
    starts = values([frozen])
    optimizer = subject.build([frozen, busy])
    for at in range(subject.steps):
        subject.step(optimizer, {frozen: None, busy: subject.gradient(busy, at)})
    must_stay([frozen], starts, "the frozen parameter moved")


@law
def late_gradient(subject: Subject) -> None:
    """A parameter whose first gradient comes late starts as under a fresh optimizer.

    Counts of steps that belong to a group, not to a parameter, give a layer that is unfrozen late
    the bias corrections of an old one: its first steps are off by up to the step itself.
    """
    if subject.coupled:
        raise NotApplicable("the step of one parameter depends on the gradients of others")
    early, late = subject.parameters()[:2]
    start = values([late])
    optimizer = subject.build([early, late])
    for at in range(2 * subject.steps):
        g = subject.gradient(late, at) if at >= subject.steps else None
        subject.step(optimizer, {early: subject.gradient(early, at), late: g})
    (fresh,) = subject.parameters([start[0]])
    alone = subject.build([fresh])
    for at in range(subject.steps, 2 * subject.steps):
        subject.step(alone, {fresh: subject.gradient(fresh, at)})
    must_agree(values([late]), values([fresh]), start, "a late parameter's first steps")


@law
def maximize_is_the_negated_gradient(subject: Subject) -> None:
    """With `maximize=True` a run is the run on negated gradients.

    Whatever else happens to a gradient, its sign must be turned before.
    """
    needs(subject, "maximize")
    if subject.needs_closure:
        raise NotApplicable("needs a closure, and its loss would have no upper bound")
    ends = []
    for climbs, sign in ((True, 1), (False, -1)):
        params = subject.parameters()
        optimizer = subject.build(params, maximize=climbs)
        for at in range(subject.steps):
            gradients = subject.gradients(params, at)
            subject.step(optimizer, {p: sign * g for p, g in gradients.items()})
        ends.append(values(params))
    must_agree(ends[0], ends[1], subject.starts, "maximize against negated gradients")


@law
def nan_gradient(subject: Subject) -> str | None:
    """A NaN in one gradient is passed on, skipped or refused by name; other parameters step on.

    One bad batch must be survivable, and must not spread to where it has not been.
    """
    ill, well = subject.parameters()[:2]
    optimizer = subject.build([ill, well])
    nan = torch.full_like(ill, torch.nan, requires_grad=False)
    try:
        subject.step(optimizer, {ill: nan, well: subject.gradient(well, 0)})
    except Exception as error:  # whatever the optimizer under test raises
        return refusal(error, "nan", "finite")
    if not subject.coupled:
        (alone,) = subject.parameters(subject.starts[1:2])
        subject.step(subject.build([alone]), {alone: subject.gradient(alone, 0)})
        must_agree(
            values([well]), values([alone]), subject.starts[1:2], "beside a NaN, a parameter"
        )
    return None


@law
def graph_ends_at_the_step(subject: Subject) -> None:
    """Gradients with a graph (`create_graph=True`) leave leaves and a state without graph.

    A state that remembers its history keeps every past step's graph in memory.
    """
    if subject.sparse:
        raise NotApplicable("takes sparse gradients only")
    params = subject.parameters()
    optimizer = subject.build(params)
    scale = torch.ones((), device=subject.device, requires_grad=True)
    for at in range(2):
        gradients = subject.gradients(params, at)
        subject.step(optimizer, {p: g * scale.to(g.dtype) for p, g in gradients.items()})
    demand(all(p.is_leaf for p in params), "a parameter is no longer a leaf")
    kept = [x for own in optimizer.state.values() for x in tensors(own)]
    demand(not any(x.requires_grad for x in kept), "a state tensor requires grad")


def tensors(state: object) -> list[Tensor]:
    """The tensors in a parameter's state."""
    return [x for x in state.values() if isinstance(x, Tensor)] if isinstance(state, dict) else []
