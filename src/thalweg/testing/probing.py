"""Finding out how an optimizer is driven: by trying, in the order of what is usual."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.testing.demands import agrees, brief
from thalweg.testing.subject import STEPS, Subject, values

USUAL, MATRICES = ((4, 3), (5,)), ((4, 3), (3, 5))
DRIVES: tuple[dict[str, bool], ...] = ({}, {"needs_closure": True}, {"sparse": True})


def probe(
    make: Callable[..., Optimizer], settings: Mapping[str, Any], given: Sequence[Tensor] | None
) -> Subject:
    """The optimizer as a subject, driven in the first way that it takes.

    Raises:
        TypeError: what is made is no `torch.optim.Optimizer`.
        ValueError: it takes no step in any way; the message gives its own error.
    """
    tried = [_enough(given)] if given else [_examples(USUAL), _examples(MATRICES)]
    errors = []
    for starts in tried:
        for drive in DRIVES:
            # A search along a line goes on until rounding stops it, and then chance decides.
            exact = drive.get("needs_closure") and not given
            examples = tuple(x.double() for x in starts) if exact else starts
            subject = Subject(make, settings, examples, **drive)
            error = _failure(subject)
            if error is None:
                return replace(subject, coupled=_is_coupled(subject))
            errors.append(error)
    raise ValueError(
        f"check_optimizer({subject.name}): it takes no step, with or without a closure: "
        f"{brief(errors[0])}. Give the arguments that it needs by name, and params=[...] if its "
        "parameters must be of a certain kind."
    ) from errors[0]


def _enough(given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """At least two examples: laws need one parameter beside another."""
    starts = tuple(x.detach().clone() for x in given)
    return starts if len(starts) > 1 else starts * 2


def _examples(shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    stand_in = Subject(torch.optim.SGD, {}, (torch.zeros(1),))
    return tuple(stand_in.tensor(*shape, seed=seed) for seed, shape in enumerate(shapes))


def _failure(subject: Subject) -> Exception | None:
    """What two steps raise, if anything."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = subject.build(subject.parameters())
            if isinstance(made, Optimizer):
                subject.ends()
        except Exception as error:  # whatever the optimizer under test raises
            return error
    if not isinstance(made, Optimizer):
        raise TypeError(
            f"check_optimizer({subject.name}): it makes a {type(made).__name__}, which is no "
            "torch.optim.Optimizer. Give a subclass, or a function that returns an instance."
        )
    return None


def _is_coupled(subject: Subject) -> bool:
    """Whether other gradients of one parameter change the way of another."""
    if subject.needs_closure:
        return True  # by the loss
    ends: list[list[Tensor]] = []
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for factor in (1.0, 3.0):
            params = subject.parameters()[:2]
            optimizer = subject.build(params)
            for at in range(STEPS):
                one, other = subject.gradients(params, at).items()
                subject.step(optimizer, dict([one, (other[0], factor * other[1])]))
            ends.append(values(params[:1]))
    return not agrees(ends[0], ends[1], subject.starts[:1])
