r"""Which positions of a layer belong to which sample.

A layer is applied to (N, T, d) in one program, to (T, N, d) in another (PyTorch's own attention
turns its input so), to (T N, d) in a third. Derivatives of single samples need to know. It is found
by experiment: a derivative of some samples' outputs alone must vanish at all other samples'
positions. With one experiment for each binary digit of a sample's number, and one for its
complement, an order that passes them all is the right one.

A program that is evaluated again and again need not be searched anew. `Positions` remembers the
orders of layers of the same names and shapes, where the experiments left no choice, and repeats the
two of one digit at each evaluation, of the next digit at the next: where they fail, all are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, final

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


Key = tuple[object, ...]


@final
class Positions:
    """The orders that were found, each a number among `orders`; None for no order."""

    def __init__(self) -> None:
        self._known: dict[Key, list[int | None]] = {}
        self._turn = 0

    def recalled(self, rows: Tensor, uses: Sequence[Use]) -> list[int | None] | None:
        """Those of these uses; None where there are none, or they are no longer right."""
        known = self._known.get(key_of(rows, uses))
        if known is None:
            return None
        digits = digits_of(rows)
        probed = list(probes(rows, uses, digits[self._turn % len(digits) :][:1] if digits else ()))
        self._turn += 1
        for number, (use, chosen) in enumerate(zip(uses, known, strict=True)):
            if chosen is not None and chosen not in fitting(use, number, len(rows), probed):
                del self._known[key_of(rows, uses)]
                return None
        return known

    def keep(self, rows: Tensor, uses: Sequence[Use], fits: Sequence[Sequence[int]]) -> None:
        """Remember the orders that fit each of these uses, if there is at most one of each."""
        if all(len(each) <= 1 for each in fits):
            self._known[key_of(rows, uses)] = [each[0] if each else None for each in fits]


def key_of(rows: Tensor, uses: Sequence[Use]) -> Key:
    """What must be the same for positions to be."""
    return (len(rows), *((use.kind, use.names, use.lead, use.groups) for use in uses))


def aligned(
    rows: Tensor, uses: Sequence[Use], *, coupled: bool, positions: Positions | None = None
) -> tuple[list[Aligned], list[Use]]:
    """The uses whose positions belong to samples, and those that serve all samples together.

    Args:
        rows: the model's output, (N, D), with its graph.
        uses: the layers' uses in that graph.
        coupled: a layer takes statistics over samples, so that no derivative vanishes; then the
            first order whose sizes fit is taken.
        positions: what earlier evaluations found; None to find it here.
    """
    chosen = None if coupled or positions is None else positions.recalled(rows, uses)
    if chosen is None:
        probed = [] if coupled else list(probes(rows, uses, digits_of(rows)))
        fits = [fitting(use, i, len(rows), probed) for i, use in enumerate(uses)]
        chosen = [each[0] if each else None for each in fits]
        if positions is not None and not coupled:
            positions.keep(rows, uses, fits)
    found, shared = [], []
    for use, number in zip(uses, chosen, strict=True):
        if number is None:
            shared.append(use)
        else:
            found.append(Aligned(use, list(orders(use, len(rows)))[number]))
    return found, shared


def fitting(
    use: Use, number: int, samples: int, probed: Sequence[tuple[Tensor, list[Tensor]]]
) -> list[int]:
    """Which orders pass the experiments, for the use of that number among those probed."""
    seen = [(mask, derivatives[number]) for mask, derivatives in probed]
    return [i for i, order in enumerate(orders(use, samples)) if fits(use, order, seen)]


def digits_of(rows: Tensor) -> range:
    """The binary digits that the samples' numbers have."""
    return range((len(rows) - 1).bit_length())


def probes(
    rows: Tensor, uses: Sequence[Use], digits: Iterable[int]
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Some samples (a mask), and the derivatives of their outputs alone at every use."""
    if not uses:
        return
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(rows.shape, generator=generator, dtype=torch.float64).to(rows)
    number = torch.arange(len(rows), device=rows.device)
    for digit in digits:
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
