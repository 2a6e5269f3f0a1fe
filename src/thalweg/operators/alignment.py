r"""Which positions of a layer belong to which sample.

A layer is applied to (N, T, d) in one program, to (T, N, d) in another (PyTorch's own attention
turns its input so), to (T N, d) in a third. Derivatives of single samples need to know. It is found
by experiment: a derivative of some samples' outputs alone must vanish at all other samples'
positions. With one experiment for each binary digit of a sample's number, and one for its
complement, an order that passes them all is the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.operators.layer_uses import Use

Order = Callable[[Tensor], Tensor]


class Aligned(NamedTuple):
    """A use, and how its tensors (*lead, ...) become (N, T, ...)."""

    use: Use
    order: Order

    def entries(self) -> Tensor:
        """The layer's inputs, (N, T, ...)."""
        return self.order(self.use.entries())

    def turned(self, derivative: Tensor) -> Tensor:
        """The derivative in the layer's output, (N, T, ...)."""
        return self.order(self.use.turned(derivative))


def aligned(rows: Tensor, uses: Sequence[Use], *, coupled: bool) -> tuple[list[Aligned], list[Use]]:
    """The uses whose positions belong to samples, and those that serve all samples together.

    Args:
        rows: the model's output, (N, D), with its graph.
        uses: the layers' uses in that graph.
        coupled: a layer takes statistics over samples, so that no derivative vanishes; then the
            first order whose sizes fit is taken.
    """
    probed = [] if coupled else list(probes(rows, uses))
    found, shared = [], []
    for number, use in enumerate(uses):
        seen = [(mask, derivatives[number]) for mask, derivatives in probed]
        order = next((o for o in orders(use, len(rows)) if fits(use, o, seen)), None)
        if order is None:
            shared.append(use)
        else:
            found.append(Aligned(use, order))
    return found, shared


def probes(rows: Tensor, uses: Sequence[Use]) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Some samples (a mask), and the derivatives of their outputs alone at every use."""
    if not uses:
        return
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(rows.shape, generator=generator, dtype=torch.float64).to(rows)
    number = torch.arange(len(rows), device=rows.device)
    for digit in range((len(rows) - 1).bit_length()):
        for value in (0, 1):
            mask = (number >> digit) % 2 == value
            yield mask, derivatives_at(rows, uses, weights * mask.unsqueeze(1))


def derivatives_at(rows: Tensor, uses: Sequence[Use], column: Tensor) -> list[Tensor]:
    """The derivatives of (column . rows) in the uses' outputs; zero where there is no path."""
    edges = [use.edge for use in uses]
    if not edges:
        return []
    return list(torch.autograd.grad(rows, edges, column, retain_graph=True, materialize_grads=True))


def orders(use: Use, samples: int) -> Iterator[Order]:
    """The ways in which the positions' shape can hold `samples` samples."""
    lead = use.lead
    if samples == 1:
        yield lambda x: x.reshape(1, -1, *x.shape[len(lead) :])
        return
    if lead and lead[0] and lead[0] % samples == 0:
        yield lambda x: x.reshape(samples, -1, *x.shape[len(lead) :])
        if lead[0] > samples:
            yield (
                lambda x: (
                    x.reshape(lead[0] // samples, samples, -1, *x.shape[len(lead) :])
                    .transpose(0, 1)
                    .reshape(samples, -1, *x.shape[len(lead) :])
                )
            )
    if len(lead) > 1 and lead[1] == samples:
        yield lambda x: x.transpose(0, 1).reshape(samples, -1, *x.shape[len(lead) :])


def fits(use: Use, order: Order, probed: Sequence[tuple[Tensor, Tensor]]) -> bool:
    """Whether each derivative vanishes at all samples but those it was taken of."""
    return all(not order(use.turned(g))[~mask].any() for mask, g in probed)
