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
from thalweg.testing.subject import Gradients, Subject, values

USUAL, MATRICES = ((4, 3), (5,)), ((4, 3), (3, 5))
PATIENCE = 32  # steps
DRIVES: tuple[dict[str, bool], ...] = (
    {},
    {"needs_closure": True},
    {"needs_closure": True, "needs_graph": True},
    {"sparse": True},
)


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
                return _known(subject)
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


def _known(subject: Subject) -> Subject:
    """The subject with what else there is to know of it."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patient = replace(subject, steps=subject.steps + _idle_steps(subject))
        return replace(patient, coupled=_is_coupled(patient))


def _idle_steps(subject: Subject) -> int:
    """How many steps pass before the first parameter moves; none if it never does."""
    params = subject.parameters()
    optimizer = subject.build(params)
    for at in range(PATIENCE):
        subject.step(optimizer, subject.gradients(params, at))
        if not torch.equal(params[0], subject.starts[0]):
            return at
    return 0


def _is_coupled(subject: Subject) -> bool:
    """Whether one parameter goes another way beside others, or when their gradients change."""
    if subject.needs_closure:
        return True  # by the loss
    alone = [_ends(subject, {place: 1.0}) for place in (0, 1)]
    beside = [_ends(subject, {0: 1.0, 1: 1.0}), _ends(subject, {0: 1.0, 1: 3.0})]
    starts = subject.starts[:2]
    together = agrees(beside[0], [*alone[0], *alone[1]], starts)
    return not (together and agrees(beside[1][:1], alone[0], starts[:1]))


def _ends(subject: Subject, factors: Mapping[int, float]) -> list[Tensor]:
    """Where the first two parameters, or one, end if the gradients are longer by these factors."""
    params = {place: subject.parameters(subject.starts[place : place + 1])[0] for place in factors}
    optimizer = subject.build(list(params.values()))
    for at in range(4 * subject.steps):  # what parameters share may take time to show
        gradients: Gradients = {
            p: factors[place] * subject.gradient(p, 100 * at + place) for place, p in params.items()
        }
        subject.step(optimizer, gradients)
    return values(params.values())
