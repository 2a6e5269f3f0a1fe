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

from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.linearization import Leaves, Linearization
from thalweg.operators.pulled_back import LossOfOutput, PulledBack

Partly = tuple[Tensor | None, ...]  # one for each differentiable tensor of an output, or None

# Sums in another order differ by this many units of rounding.
COUPLING_UNITS = 1e3


@final
class SampleRows:
    """u_n for N samples and S losses, laid out as one matrix a tensor of the output.

    Args:
        name: of the operator that asks, for messages.
        outputs: the output's tensors.
        gradients: for each loss, its gradient in them; None in a tensor that it does not use.
        samples: N; the first axis of each tensor that is used holds the samples, in runs of equal
            length. None takes its length.

    Attributes:
        samples: N.
        losses: S.
        used: numbers of the tensors that a loss uses.

    Raises:
        ValueError: a tensor that is used has no first axis, or one that is no multiple of N.
    """

    def __init__(
        self, name: str, outputs: Leaves, gradients: Sequence[Partly], samples: int | None = None
    ) -> None:
        first = gradients[0]
        self.used = [i for i, gradient in enumerate(first) if gradient is not None]
        self.samples = samples_in(name, [outputs[i] for i in self.used], samples)
        self.losses, self._outputs = len(gradients), outputs
        self._rows = {i: self._stacked([one[i] for one in gradients]) for i in self.used}

    def _stacked(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """(S, N, D) of the gradients in one tensor."""
        present = [gradient for gradient in gradients if gradient is not None]
        return torch.stack(present).reshape(self.losses, self.samples, -1)

    def along(self, tangents: Leaves) -> Tensor:
        """u_n' t_n for each loss and sample, shape (S, N); with k in front for k tangents."""
        terms = [
            torch.einsum("snd,...nd->...sn", rows, self._by_sample(tangents[i], i))
            for i, rows in self._rows.items()
        ]
        return sum(terms[1:], terms[0])

    def combined(self, weights: Tensor) -> Leaves:
        """sum_s weights[s, n] u_n in the outputs' shapes; with k in front for (k, S, N)."""
        front = weights.shape[:-2]
        found = [z.new_zeros(*front, *z.shape) for z in self._outputs]
        for i, rows in self._rows.items():
            sums = torch.einsum("snd,...sn->...nd", rows, weights.to(rows.dtype))
            found[i] = sums.reshape(found[i].shape)
        return tuple(found)

    def _by_sample(self, tangent: Tensor, number: int) -> Tensor:
        shape = self._outputs[number].shape
        front = tangent.shape[: tangent.dim() - len(shape)]
        return tangent.reshape(*front, self.samples, shape.numel() // self.samples)

    @property
    def held(self) -> int:
        """Bytes of the rows."""
        return sum(rows.numel() * rows.element_size() for rows in self._rows.values())

    def close(self) -> None:
        """Free the rows."""
        self._rows, self._outputs = {}, ()

    def units(self, size: int) -> Iterator[Tensor]:
        """Weights that single out one loss and sample each, (k, S, N), k at most `size`."""
        total = self.losses * self.samples
        for start in range(0, total, size):
            like = self._rows[self.used[0]]
            places = torch.arange(start, min(start + size, total), device=like.device)
            marks = torch.nn.functional.one_hot(places, total).to(like.dtype)
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
        # The sum of the deviations, zero where m is the samples' own mean.
        left = along.sum((-2, -1)).to(frame.about.dtype)
        about = frame.about if left.dim() == 0 else frame.about.unsqueeze(1)
        return frame.weight * (self._combined(along) - left * about)

    def _combined(self, weights: Tensor) -> Tensor:
        """sum_n weights_n c r_n, shape (n,), or (n, k) for k weights."""
        return self.frame.scale * self.linearization.pull(self.rows.combined(weights))

    @property
    def held(self) -> int:
        """Bytes of the kept graphs and rows, beside the parameters."""
        return super().held + self.rows.held

    def close(self) -> None:
        """Free the graphs and rows; `loss` and `gradient` stay, products are refused."""
        super().close()
        self.rows.close()

    def exact_trace(self) -> float:
        """w sum_n |c r_n - m|^2; one backward pass for every sample, as many at once as fit."""
        self.linearization.check_open()
        squares, frame = 0.0, self.frame
        for marks in self.rows.units(self.linearization.at_once):
            parts = self._combined(marks)
            centred = parts if frame.about is None else parts - frame.about.unsqueeze(1)
            squares += float(centred.square().sum(dtype=torch.float64))
        return frame.weight * squares


def samples_in(name: str, outputs: Sequence[Tensor], samples: int | None) -> int:
    """N, checked against the outputs; see `SampleRows`."""
    count = samples or (outputs[0].shape[0] if outputs[0].dim() else 0)
    for z in outputs:
        if not z.dim() or not z.shape[0] or not count or z.shape[0] % count:
            raise ValueError(
                f"{name}: a tensor of the output has shape {tuple(z.shape)}, and the batch "
                f"{count or 'no'} samples; its first axis must hold the samples. Let the model "
                "return it so, or leave it out of the loss."
            )
    return count


def check_separate(linearization: Linearization, loss: LossOfOutput, rows: SampleRows) -> None:
    """Refuse a loss that couples samples: then no sample has a loss of its own.

    Every other sample's output is replaced by its neighbour's; the loss's gradient in the outputs
    of the rest must stay what it was.

    Raises:
        ValueError: it does not.
    """
    if rows.samples < 2:
        return
    order = torch.arange(rows.samples)
    moved = order.clone()
    moved[::2] = (moved[::2] + 1) % rows.samples
    before = output_gradients(linearization, loss, rows, order)
    after = output_gradients(linearization, loss, rows, moved)
    for old, new in zip(before, after, strict=True):
        allowed = COUPLING_UNITS * torch.finfo(old.dtype).eps * float(old.abs().max())
        if not float((new - old)[1::2].abs().max()) <= allowed:
            raise ValueError(
                f"{linearization.name}: the loss couples samples (the gradient in one sample's "
                "output depends on another's), so samples have no gradients of their own. Use "
                "GaussNewton or Hessian."
            )


def output_gradients(
    linearization: Linearization, loss: LossOfOutput, rows: SampleRows, order: Tensor
) -> Leaves:
    """The loss's gradient in each output that it uses, (N, D), with the samples in this order."""
    found = list(linearization.outputs)
    point = {}
    with twice_differentiable():
        for i in rows.used:
            z = found[i]
            point[i] = z.reshape(len(order), -1)[order.to(z.device)].requires_grad_()
            found[i] = point[i].reshape(z.shape).clone()
        value = loss(linearization.rebuilt(found))
        return torch.autograd.grad(value, list(point.values()), materialize_grads=True)
