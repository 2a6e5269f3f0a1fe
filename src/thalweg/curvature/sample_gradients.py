r"""Each sample's part of a loss's gradient, never written down.

A loss that is a sum over samples, each with its own rows of the output, has the gradient

    sum_n r_n,      r_n = J_n' u_n,      u_n = the loss's gradient in the output rows of sample n

so the loss of the whole batch, differentiated once in the output, gives every sample's gradient as
a product with its Jacobian: no loop over samples, and batch normalization in train mode is no
obstacle. `SecondMoment` sums their squares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.curvature.differentiation import twice_differentiable
from thalweg.curvature.linearization import Leaves, Linearization
from thalweg.curvature.pulled_back import LossOfOutput, PulledBack

# Sums in another order differ by this many units of rounding.
COUPLING_UNITS = 1e3


@final
class SampleRows:
    """u_n for N samples and S losses, laid out as one matrix a tensor of the output.

    Args:
        name: of the operator that asks, for messages.
        outputs: the output's tensors.
        gradients: for each loss, its gradient in them.
        samples: N; the first axis of each tensor holds the samples, in runs of equal length. None
            takes the length of the shortest.

    Raises:
        ValueError: a tensor has no first axis, or one that is no multiple of N.
    """

    def __init__(
        self, name: str, outputs: Leaves, gradients: Sequence[Leaves], samples: int | None = None
    ) -> None:
        self.samples = samples_in(name, outputs, samples)
        self._shapes = [z.shape for z in outputs]
        stacks = (torch.stack(rows) for rows in zip(*gradients, strict=True))
        self._rows = [rows.reshape(len(rows), self.samples, -1) for rows in stacks]
        self.losses = len(self._rows[0])

    def along(self, tangents: Leaves) -> Tensor:
        """u_n' t_n for each loss and sample, shape (S, N); with k in front for k tangents."""
        terms = [
            torch.einsum("snd,...nd->...sn", rows, self._by_sample(tangent, shape))
            for rows, tangent, shape in zip(self._rows, tangents, self._shapes, strict=True)
        ]
        return sum(terms[1:], terms[0])

    def combined(self, weights: Tensor) -> Leaves:
        """sum_s weights[s, n] u_n in the outputs' shapes; with k in front for (k, S, N)."""
        return tuple(
            torch.einsum("snd,...sn->...nd", rows, weights.to(rows.dtype)).reshape(
                *weights.shape[:-2], *shape
            )
            for rows, shape in zip(self._rows, self._shapes, strict=True)
        )

    def _by_sample(self, tangent: Tensor, shape: torch.Size) -> Tensor:
        front = tangent.shape[: tangent.dim() - len(shape)]
        return tangent.reshape(*front, self.samples, shape.numel() // self.samples)

    def units(self, size: int) -> Iterator[Tensor]:
        """Weights that single out one loss and sample each, (k, S, N), k at most `size`."""
        total = self.losses * self.samples
        for start in range(0, total, size):
            places = torch.arange(start, min(start + size, total), device=self._rows[0].device)
            marks = torch.nn.functional.one_hot(places, total).to(self._rows[0].dtype)
            yield marks.reshape(-1, self.losses, self.samples)


@final
@dataclass(frozen=True)
class Frame:
    """How the parts r_n of a gradient enter their second moment, w sum_n (c r_n - m)(c r_n - m)'.

    Attributes:
        scale: c.
        weight: w.
        about: m, shape (n,); None for zero.
    """

    scale: float
    weight: float
    about: Tensor | None = None


class SecondMoment(PulledBack):
    """w sum_n (c r_n - m)(c r_n - m)' over the parts r_n of a gradient.

    A subclass sets `rows` and `frame`.
    """

    rows: SampleRows
    frame: Frame

    def _pulled_back(self, vectors: Tensor) -> Tensor:
        frame = self.frame
        along = frame.scale * self.rows.along(self.linearization.push(vectors))
        if frame.about is None:
            return frame.weight * self._combined(along)
        along = along - (frame.about @ vectors).to(along.dtype)[..., None, None]
        sums = along.sum((-2, -1)).to(vectors.dtype)
        mean_part = frame.about.outer(sums) if sums.dim() else frame.about * sums
        return frame.weight * (self._combined(along) - mean_part)

    def _combined(self, weights: Tensor) -> Tensor:
        """sum_n weights_n c r_n, shape (n,), or (n, k) for k weights."""
        return self.frame.scale * self.linearization.pull(self.rows.combined(weights))

    def exact_trace(self) -> float:
        """w sum_n |c r_n - m|^2; one backward pass for every sample, as many at once as fit."""
        squares, frame = 0.0, self.frame
        for marks in self.rows.units(self.linearization.at_once):
            parts = self._combined(marks)
            centred = parts if frame.about is None else parts - frame.about.unsqueeze(1)
            squares += float(centred.square().sum(dtype=torch.float64))
        return frame.weight * squares


def samples_in(name: str, outputs: Leaves, samples: int | None) -> int:
    """N, checked against the outputs; see `SampleRows`."""
    lengths = [z.shape[0] if z.dim() else 0 for z in outputs]
    count = min(lengths) if samples is None else samples
    for z, length in zip(outputs, lengths, strict=True):
        if not count or not length or length % count:
            raise ValueError(
                f"{name}: a tensor of the output has shape {tuple(z.shape)}, and the batch "
                f"{count or 'no'} samples; its first axis must hold the samples."
            )
    return count


def check_separate(linearization: Linearization, loss: LossOfOutput, samples: int) -> None:
    """Refuse a loss that couples samples: then no sample has a loss of its own.

    Every other sample's output is replaced by its neighbour's; the loss's gradient in the outputs
    of the rest must stay what it was.

    Raises:
        ValueError: it does not.
    """
    if samples < 2:
        return
    moved = torch.arange(samples)
    moved[::2] = (moved[::2] + 1) % samples
    before = output_gradients(linearization, loss, torch.arange(samples))
    after = output_gradients(linearization, loss, moved)
    for old, new in zip(before, after, strict=True):
        allowed = COUPLING_UNITS * torch.finfo(old.dtype).eps * float(old.abs().max())
        if not float((new - old)[1::2].abs().max()) <= allowed:
            raise ValueError(
                f"{linearization.name}: the loss couples samples (the gradient in one sample's "
                "output depends on another's), so samples have no gradients of their own. Use "
                "GaussNewton or Hessian."
            )


def output_gradients(linearization: Linearization, loss: LossOfOutput, order: Tensor) -> Leaves:
    """The loss's gradient in the outputs with samples in this order, each of shape (N, D)."""
    samples = len(order)
    with twice_differentiable():
        rows = [z.reshape(samples, -1)[order.to(z.device)] for z in linearization.outputs]
        point = [row.requires_grad_() for row in rows]
        shaped = zip(point, linearization.outputs, strict=True)
        value = loss(linearization.rebuilt([p.reshape(z.shape).clone() for p, z in shaped]))
        return torch.autograd.grad(value, point, materialize_grads=True)
