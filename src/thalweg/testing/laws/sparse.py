"""Sparse gradients: taken for what they are, or refused by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from thalweg.testing.contract import NotApplicable, law
from thalweg.testing.demands import brief, must_agree, must_stay, refusal
from thalweg.testing.subject import Subject, values


@law
def sparse_gradient(subject: Subject) -> str | None:
    """A sparse gradient with all its rows acts as the dense one, or is refused by name.

    Embeddings make sparse gradients; an obscure failure deep in a kernel helps nobody.
    """
    if subject.needs_closure:
        raise NotApplicable("needs a closure")
    (p,) = subject.parameters([subject.tensor(4, 3)])
    start = values([p])
    try:
        _steps(subject, p, in_two_pieces)
    except Exception as error:  # whatever the optimizer under test raises
        must_stay([p], start, f"parameters moved before the gradient was refused ({brief(error)})")
        return refusal(error, "sparse")
    (twin,) = subject.parameters(start)
    _steps(subject, twin, lambda gradient: gradient)
    must_agree(values([p]), values([twin]), start, "with sparse gradients, a parameter")
    return "takes sparse gradients only" if subject.sparse else None


def _steps(subject: Subject, p: Tensor, given: Callable[[Tensor], Tensor]) -> None:
    optimizer = subject.build([p])
    for at in range(subject.steps):
        subject.step(optimizer, {p: given(subject.gradient(p, at))})


def in_two_pieces(gradient: Tensor) -> Tensor:
    """A sparse gradient as an embedding that looks up every row twice makes it."""
    rows = torch.arange(len(gradient), device=gradient.device).repeat(2)
    shares = torch.linspace(-1, 2, gradient.numel(), device=gradient.device, dtype=gradient.dtype)
    piece = shares.reshape(gradient.shape) * gradient
    return torch.sparse_coo_tensor(rows[None], torch.cat([piece, gradient - piece]), gradient.shape)
