r"""Columns u with  sum_u u u' = M,  the matrix in the middle of a Gauss-Newton block J' M J.

    exact         M = the loss's Hessian in the model's output,       d columns
    monte-carlo   the same in expectation, u = S e with random signs e, S S' = M; as many as drawn
    empirical     M = (1/c) g g', g the loss's gradient in the output,    one column

Each sample has a block of its own on M's diagonal, so a column holds one vector for every sample;
c is the weight of a sample in the loss, 1/N for a mean. The loss may be any function of the output
that adds up over samples: its Hessian is read off by products with unit vectors, for all samples
at once, and a random product checks the structure that was assumed (one number an entry; blocks
along one axis, as in a cross-entropy over classes; one block a sample). Where rounding has eaten
the entries, as under a saturated softmax, products with vectors that are zero on half of the blocks
tell: what reaches the other half couples them. A loss that couples samples is refused.

Schraudolph, *Fast curvature matrix-vector products for second-order gradient descent* (2002);
Martens & Grosse, *Optimizing neural networks with Kronecker-factored approximate curvature*
(arXiv 1503.05671, section 5), for drawn columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from thalweg.operators.symmetric_eigen import symmetric_eigen

Kind = Literal["exact", "monte-carlo", "empirical"]
KINDS = ("exact", "monte-carlo", "empirical")

# A structure is taken where a random product agrees with it to this many units of rounding.
STRUCTURE_UNITS = 1e3
# Or to this many times by how much the products of three parts miss that of their sum.
NONLINEARITIES = 100
# Entries of a block may be wrong by this many times what its product with a trial vector misses.
MISSED = 10


@final
@dataclass(frozen=True)
class JoinedOutput:
    """A model's output as one matrix with a row for every sample, and the way back.

    Attributes:
        rows: the output's differentiable tensors joined, shape (N, D), with their graph.
        leaves, spec, places: the output's leaves, its structure, which leaves were joined.
    """

    rows: Tensor
    leaves: tuple[Any, ...]
    spec: TreeSpec
    places: tuple[int, ...]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """For each joined tensor, its shape with the samples' axis first."""
        count = len(self.rows)
        return [(count, *grouped(self.leaves[i], count)) for i in self.places]

    def rebuilt(self, rows: Tensor) -> Any:
        """The output's structure with other numbers, shape (N, D)."""
        leaves = list(self.leaves)
        sizes = [self.leaves[i].numel() // len(self.rows) for i in self.places]
        for i, part in zip(self.places, torch.split(rows, sizes, 1), strict=True):
            leaves[i] = part.reshape(self.leaves[i].shape)
        return tree_unflatten(leaves, self.spec)


def joined(output: Any, samples: int | None) -> JoinedOutput:
    """`output` as a matrix with a row for each sample.

    Args:
        output: tensors with the samples along their first axes.
        samples: how many there are, if the output may have several rows for each; it does not
            count where the output's length is no multiple of it.

    Raises:
        ValueError: no tensor in it has a gradient, or one has no axis of samples in front.
    """
    leaves, spec = tree_flatten(output)
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        raise ValueError(
            "output(params) carries no gradient; compute it from the tensors in params, without "
            "torch.no_grad() or .detach() on the way."
        )
    lengths = [leaves[i].shape[0] if leaves[i].dim() else 0 for i in places]
    count = samples if samples and not any(n % samples for n in lengths) else lengths[0]
    if not all(lengths) or any(n % count for n in lengths):
        shapes = ", ".join(str(tuple(leaves[i].shape)) for i in places)
        raise ValueError(
            f"output: its tensors have shapes {shapes}; all must have the samples along their "
            "first axis."
        )
    rows = torch.cat([leaves[i].reshape(count, -1) for i in places], 1)
    return JoinedOutput(rows, tuple(leaves), spec, tuple(places))


def grouped(leaf: Tensor, samples: int) -> tuple[int, ...]:
    """The shape of one sample's part: rows of (N m, ...) belong to samples in runs of m."""
    run = leaf.shape[0] // samples
    return (*((run,) if run > 1 else ()), *leaf.shape[1:])


def columns(
    output: JoinedOutput,
    loss: Callable[[Any], Tensor],
    *,
    kind: Kind,
    weight: float,
    draws: int = 1,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """The columns, each of shape (N, D).

    Args:
        output: the model's.
        loss: from the output to a scalar tensor.
        kind: see the module.
        weight: c, of a sample in the loss; used by "empirical".
        draws: how many columns "monte-carlo" draws.
        generator: where it draws them from, on the CPU.

    Raises:
        ValueError: the loss couples samples, or is not convex in the output.
        NotImplementedError: PyTorch has no second derivative of the loss in the output.
    """
    if kind == "empirical":
        yield gradient_in(output, loss).gradient.detach() / weight**0.5
        return
    root = square_root(output, loss)
    if kind == "exact":
        yield from root.columns()
    else:
        for _ in range(draws):
            yield root.drawn(generator) / draws**0.5


class LossAtOutput(NamedTuple):
    """The output's numbers as a variable; the loss there; its gradient, with a graph."""

    point: Tensor
    value: Tensor
    gradient: Tensor


def gradient_in(output: JoinedOutput, loss: Callable[[Any], Tensor]) -> LossAtOutput:
    """The loss and its gradient as functions of the output alone.

    Raises:
        TypeError, ValueError: the loss is not a finite scalar tensor, or has no gradient.
    """
    point = output.rows.detach().requires_grad_()
    value = checked_loss(loss(output.rebuilt(point)))
    with named_refusal():
        (gradient,) = torch.autograd.grad(value, point, create_graph=True, materialize_grads=True)
    return LossAtOutput(point, value.detach(), gradient)


@final
@dataclass(frozen=True)
class OutputRoot:
    """S with S S' = M.

    Attributes:
        blocks: S's blocks, shape (N, P, C, C): P positions a sample, C entries each.
        shape: of the output with samples first, (N, ...).
        axis: of `shape`, along which the C entries lie.
    """

    blocks: Tensor
    shape: tuple[int, ...]
    axis: int

    def _laid(self, values: Tensor) -> Tensor:
        """(N, P, C) -> (N, D)."""
        others = [size for i, size in enumerate(self.shape) if i != self.axis]
        spread = values.reshape(*others, self.shape[self.axis]).movedim(-1, self.axis)
        return spread.reshape(len(values), -1)

    def columns(self) -> Iterator[Tensor]:
        """Each column that is not zero, (N, D)."""
        _, positions, width, _ = self.blocks.shape
        used = (self.blocks != 0).any(2).any(0)
        for position in range(positions):
            for c in range(width):
                if used[position, c]:
                    column = torch.zeros_like(self.blocks[..., 0])
                    column[:, position] = self.blocks[:, position, :, c]
                    yield self._laid(column)

    def drawn(self, generator: torch.Generator | None) -> Tensor:
        """S e for random signs e, (N, D)."""
        shape = self.blocks.shape[:3]
        signs = torch.randint(0, 2, shape, generator=generator).to(self.blocks) * 2 - 1
        return self._laid((self.blocks @ signs.unsqueeze(-1)).squeeze(-1))


def square_root(output: JoinedOutput, loss: Callable[[Any], Tensor]) -> OutputRoot:
    """The square root of the loss's Hessian in the output, by the narrowest structure that fits.

    Raises:
        ValueError, NotImplementedError: see `columns`.
    """
    point, _, gradient = gradient_in(output, loss)
    if not gradient.requires_grad:
        return OutputRoot(point.new_zeros(*point.shape, 1, 1), (*point.shape, 1), 2)

    def product(rows: Tensor) -> Tensor:
        with named_refusal():
            (result,) = torch.autograd.grad(
                gradient, point, rows, retain_graph=True, materialize_grads=True
            )
        return result

    trial, *parts = trials(point)
    found, rounding = product(trial), NONLINEARITIES * nonlinearity(product, trial, parts)
    for shape, axis in structures(output):
        blocks = output_blocks(product, point, shape, axis)
        applied = (blocks @ laid_out(trial, shape, axis).unsqueeze(-1)).squeeze(-1)
        difference = float((applied - laid_out(found, shape, axis)).abs().max())
        scale = float((blocks.abs().sum(-1)).max())
        if difference <= STRUCTURE_UNITS * torch.finfo(point.dtype).eps * scale + rounding:
            return OutputRoot(root_of(blocks, rounding), shape, axis)
        if apart(product, trial, shape, axis):
            return OutputRoot(root_of(blocks, rounding + MISSED * difference), shape, axis)
    raise ValueError(
        "loss(output) couples samples: its Hessian in the output has entries between them, so "
        "Kronecker factors are not defined. Use GaussNewton or Hessian."
    )


def trials(point: Tensor) -> Tensor:
    """Four random tensors of the shape of `point`, entries from 0.5 to 1.5; always the same."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(4, *point.shape, generator=generator, dtype=torch.float64) + 0.5
    return drawn.to(point)


def nonlinearity(
    product: Callable[[Tensor], Tensor], trial: Tensor, parts: Iterable[Tensor]
) -> float:
    """By how much the product rounds: how far H t is from H p + H (t - p), for any of the parts.

    Under a saturated softmax that is far above the rounding of H's own entries, which are tiny
    differences of large terms.
    """
    whole = product(trial)
    missed = [whole - product(part) - product(trial - part) for part in parts]
    return float(torch.stack(missed).abs().max())


def structures(output: JoinedOutput) -> Iterator[tuple[tuple[int, ...], int]]:
    """(shape, axis of the blocks) to try, from one number an entry to one block a sample."""
    count, width = output.rows.shape
    yield (count, width, 1), 2
    if len(output.places) == 1 and len(shape := output.shapes[0]) > 2:
        yield shape, len(shape) - 1
        yield shape, 1
        if len(shape) > 3:
            yield shape, 2
    yield (count, 1, width), 2


def apart(
    product: Callable[[Tensor], Tensor], trial: Tensor, shape: tuple[int, ...], axis: int
) -> bool:
    """Whether the Hessian has nothing between blocks along `axis`: log2(N P) products at most.

    Any two blocks differ in some binary digit of their numbers. For each digit the trial vector is
    kept on the blocks that have it set; what the product then has on the others is between blocks.
    """
    others = [size for i, size in enumerate(shape) if i != axis]
    number = torch.arange(math.prod(others), device=trial.device).reshape(others)
    for digit in range((number.numel() - 1).bit_length()):
        kept = (number >> digit & 1).bool().unsqueeze(axis).expand(shape).reshape(trial.shape)
        found = product(torch.where(kept, trial, 0)).abs()
        crossed, own = torch.where(kept, 0, found).max(), torch.where(kept, found, 0).max()
        if not bool(crossed <= STRUCTURE_UNITS * torch.finfo(trial.dtype).eps * own):
            return False
    return True


def laid_out(rows: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """(N, D) -> (N, P, C), C along `axis` of `shape`."""
    spread = rows.reshape(shape).movedim(axis, -1)
    return spread.reshape(len(rows), -1, spread.shape[-1])


def output_blocks(
    product: Callable[[Tensor], Tensor], point: Tensor, shape: tuple[int, ...], axis: int
) -> Tensor:
    """The Hessian's blocks along `axis` as if there were no others, (N, P, C, C); C products."""
    rows = []
    for c in range(shape[axis]):
        unit = torch.zeros(shape, dtype=point.dtype, device=point.device)
        unit.select(axis, c).fill_(1)
        rows.append(laid_out(product(unit.reshape(point.shape)), shape, axis))
    return torch.stack(rows, -1)


def root_of(blocks: Tensor, noise: float = 0.0) -> Tensor:
    """S with S S' = each block, its columns along eigenvectors; zero where they are rounding.

    Args:
        blocks: symmetric but for rounding, shape (..., C, C).
        noise: by how much a product with them may be rounded.

    Raises:
        ValueError: an eigenvalue is negative beyond rounding.
    """
    values, vectors = symmetric_eigen(blocks)
    rounding = blocks.shape[-1] * torch.finfo(blocks.dtype).eps * values.abs().amax(-1, True)
    # Where a softmax is saturated the entries are rounding themselves; their asymmetry shows it.
    noise += float(STRUCTURE_UNITS * rounding.max() + 10 * (blocks - blocks.mT).abs().max())
    if bool((values < -noise).any()):
        raise ValueError(
            f"loss(output) is not convex in the output: an eigenvalue of its Hessian there is "
            f"{float(values.min()):.3g}, so the Gauss-Newton matrix is not positive semidefinite. "
            'Use kind="empirical", or Hessian.'
        )
    kept = torch.where(values > rounding, values, 0.0)
    root: Tensor = vectors * kept.sqrt().unsqueeze(-2)
    return root


def checked_loss(value: object) -> Tensor:
    """`value` as a finite scalar with a graph.

    Raises:
        TypeError, ValueError: it is not one.
    """
    if not isinstance(value, Tensor) or value.numel() != 1:
        what = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"loss(output) returned {what}; return the loss as a scalar tensor.")
    if not bool(torch.isfinite(value.detach()).all()):
        raise ValueError(
            f"loss(output) is {float(value.detach())}; a loss that is not finite has no "
            "curvature. Go back to parameters where it is."
        )
    if not value.requires_grad:
        raise ValueError("loss(output) does not depend on the output; compute the loss from it.")
    return value.reshape(())


@contextmanager
def named_refusal() -> Iterator[None]:
    """Say what to do where PyTorch has no second derivative of an operation in the loss.

    Raises:
        NotImplementedError: instead of PyTorch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise NotImplementedError(
            f'loss(output) has no second derivative in PyTorch ({error}). Use kind="empirical".'
        ) from error
