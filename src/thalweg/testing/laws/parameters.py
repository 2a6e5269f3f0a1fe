"""Which parameters an optimizer meets: every shape, layout and type that a network has."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.testing.contract import NotApplicable, law
from thalweg.testing.demands import (
    brief,
    demand,
    must_agree,
    must_be_finite,
    must_stay,
    refusal,
)
from thalweg.testing.subject import Subject, values


def built(subject: Subject, params: list[Tensor]) -> Optimizer:
    """An optimizer over parameters of a special shape; some refuse them, as matrix rules do."""
    try:
        return subject.build(params)
    except (ValueError, NotImplementedError) as error:
        raise NotApplicable(f"refuses such a parameter: {brief(error)}") from None


def steps(subject: Subject, params: list[Tensor]) -> list[Tensor]:
    """Where `built` brings these parameters."""
    return subject.run(built(subject, params), params)


@law
def parameters_stay_in_place(subject: Subject) -> None:
    """A step writes into the parameter's own memory and leaves it a leaf that requires grad.

    Tied weights, flat buffers and captured graphs hold on to that memory.
    """
    params = subject.parameters()
    addresses = [p.data_ptr() for p in params]
    optimizer = subject.build(params)
    subject.run(optimizer, params)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    demand(
        all(a is b for a, b in zip(held, params, strict=True)), "param_groups hold other tensors"
    )
    demand([p.data_ptr() for p in params] == addresses, "a parameter's memory was exchanged")
    demand(all(p.is_leaf and p.requires_grad for p in params), "a parameter is no longer a leaf")


@law
def autograd_notices_the_step(subject: Subject) -> None:
    """A step raises the parameter's version, so that a backward pass through it is refused.

    Written through `.data`, a parameter changes unseen, and a graph recorded before the step gives
    wrong gradients without a word.
    """
    params = subject.parameters()
    optimizer = subject.build(params)
    before = [p._version for p in params]
    subject.run(optimizer, params)
    noticed = all(p._version > version for p, version in zip(params, before, strict=True))
    demand(noticed, "the parameter's version did not change")


@law
def zero_dimensional_parameter(subject: Subject) -> None:
    """A parameter without dimensions goes the way of one with a single entry.

    Temperatures, scales and biases of one number are often 0-d tensors.
    """
    if subject.sparse:
        raise NotApplicable("takes sparse gradients only, and they have rows")
    ends = []
    for shape in ((), (1,)):
        (p,) = subject.parameters([subject.tensor(1).reshape(shape)])
        ends.append(steps(subject, [p])[0].reshape(1))
    must_agree(ends[:1], ends[1:], [subject.tensor(1)], "a 0-d parameter")


@law
def empty_parameter(subject: Subject) -> None:
    """A parameter without entries is accepted, and the others step as if it were not there.

    Layers of width zero and empty shards exist.
    """
    empty, busy = subject.parameters([subject.tensor(0, 3), subject.starts[0]])
    ends = steps(subject, [busy, empty])
    must_agree(
        ends[:1], subject.ends([subject.starts[0]]), [subject.starts[0]], "beside it, a parameter"
    )


@law
def channels_last_parameter(subject: Subject) -> None:
    """A parameter in channels-last layout steps as in the usual one, and keeps its layout.

    Convolutions are trained in this layout; flattening with `view` fails on it.
    """
    if subject.sparse:
        raise NotApplicable("takes sparse gradients only, and they have no layout")
    start = subject.tensor(2, 3, 4, 5)
    (p,) = subject.parameters([start.to(memory_format=torch.channels_last)])
    ends = steps(subject, [p])
    kept = p.is_contiguous(memory_format=torch.channels_last)
    demand(kept, "the parameter lost its channels-last layout")
    must_agree(ends, subject.ends([start]), [start], "in channels-last layout, a parameter")


@law
def non_contiguous_parameter(subject: Subject) -> None:
    """A transposed parameter steps as a contiguous one, whatever the layout of its gradient.

    Tied and transposed weights are not contiguous, and their gradients need not be laid out alike.
    """
    if subject.sparse:
        raise NotApplicable("takes sparse gradients only, and they have no layout")
    start = subject.tensor(4, 6)
    expected = subject.ends([start])
    for laid_out in (torch.clone, torch.Tensor.contiguous):
        p = torch.nn.Parameter(start.T.contiguous().T)
        optimizer = built(subject, [p])
        for at in range(subject.steps):
            subject.step(optimizer, {p: laid_out(subject.gradient(p, 100 * at))})
        must_agree(values([p]), expected, [start], "laid out by columns, a parameter")


@law
def complex_parameter(subject: Subject) -> str | None:
    """A complex parameter goes the way of its real and imaginary parts, or is refused by name.

    Squaring complex numbers where their size is meant gives another algorithm, silently.
    """
    if subject.starts[0].is_complex():
        raise NotApplicable("the parameters given are complex")
    starts = [subject.tensor(*x.shape, dtype=x.dtype.to_complex()) for x in subject.starts]
    params: list[Tensor] = list(subject.parameters(starts))
    try:
        found = subject.run(subject.build(params), params)
    except Exception as error:  # whatever the optimizer under test raises
        must_stay(params, starts, f"parameters moved before they were refused ({brief(error)})")
        return refusal(error, "complex")
    pairs = [torch.view_as_real(x) for x in starts]
    halves = subject.parameters(pairs)
    optimizer = subject.build(halves)
    for at in range(subject.steps):
        gradients = [torch.view_as_real(g) for g in subject.gradients(params, at).values()]
        subject.step(optimizer, dict(zip(halves, gradients, strict=True)))
    must_agree([torch.view_as_real(x) for x in found], values(halves), pairs, "a complex parameter")
    return None


@law
def every_floating_type(subject: Subject) -> str | None:
    """Parameters of 16, 32 and 64 bits are stepped and keep their type, or are refused by name.

    A formula that meets a state of another type turns parameters into that type, or fails.
    """
    refused = []
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        starts = [x.to(dtype) for x in subject.starts if not x.is_complex()]
        params = subject.parameters(starts)
        try:
            subject.run(subject.build(params), params)
        except Exception as error:  # whatever the optimizer under test raises
            refused.append(refusal(error, "float", "half", "double", "dtype", "precision"))
            continue
        demand(all(p.dtype == dtype for p in params), f"a parameter is no longer {dtype}")
        must_be_finite(params, str(dtype))
    return refused[0] if refused else None


@law
def mixed_types(subject: Subject) -> None:
    """Parameters of different types in one group step as each would alone.

    Layers kept in 32 bits inside a 16-bit model share an optimizer with the others.
    """
    wide = torch.complex128 if subject.starts[0].is_complex() else torch.float64
    narrow = subject.starts[1].to(torch.float32 if wide == torch.float64 else torch.complex64)
    starts = [subject.starts[0].to(wide), narrow]
    params: list[Tensor] = list(subject.parameters(starts))
    found = subject.run(subject.build(params), params)
    if subject.coupled:
        return
    for place, start in enumerate(starts):
        (p,) = subject.parameters([start])
        alone = subject.build([p])
        for at in range(subject.steps):
            subject.step(alone, {p: subject.gradient(p, 100 * at + place)})
        must_agree(
            found[place : place + 1], values([p]), [start], f"beside another type, {start.dtype}"
        )


@law
def order_of_parameters(subject: Subject) -> None:
    """The order in which parameters are given changes nothing but the order in the state.

    Models are put together in different orders; a rule must not mix up their states.
    """
    gradients = [subject.gradients(subject.starts, at) for at in range(subject.steps)]
    ends = []
    for forth in (1, -1):
        params = subject.parameters()
        optimizer = subject.build(params[::forth])
        for given in gradients:
            subject.step(optimizer, dict(zip(params, given.values(), strict=True)))
        ends.append(values(params))
    must_agree(ends[0], ends[1], subject.starts, "in another order, a parameter")
