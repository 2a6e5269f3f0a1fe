r"""A model's output near its parameters, z(w + d) = z(w) + J d, with its graph kept.

    J v         the derivative in u of the backward pass u -> J'u, which is linear in u
    J'u         the backward pass itself

The forward pass runs once. Where a dense layer or a convolution costs 1 forward and 2 backward, a
gradient costs 3, J v costs 2 and J'u costs 2: **J'J v is 4/3 of a gradient**, against 2 when the
forward pass is repeated with tangents.

Memory until `close()`: the graphs of the forward and of the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from thalweg.operators.convolution import LinearConvolutions
from thalweg.operators.differentiation import explained, twice_differentiable
from thalweg.operators.layout import Layout
from thalweg.operators.memory import graph_bytes
from thalweg.operators.snapshot import Snapshot

Leaves = tuple[Tensor, ...]  # one for each differentiable tensor of an output

# One pass for several vectors saves the overhead of many; once the tensors no longer fit the
# processor's caches (here: numbers in all), passes one by one are as fast or faster.
NUMBERS_AT_ONCE = 2**20


@final
class Linearization:
    """z and J of `output` at `params`.

    Args:
        name: of the operator that asks, for messages.
        output: from named parameters to a tensor, or to tuples, lists and dicts of tensors; it
            must compute with the tensors that it is handed. Called once.
        params: names to tensors; the values are copied.

    Attributes:
        layout: where each parameter lies in a flat vector, shape (n,).
        outputs: the tensors of z that depend on the parameters.

    Raises:
        ValueError: no tensor of the output depends on the parameters, or one that does is not real
            or not finite.
        NotImplementedError: PyTorch has no second derivative of an operation. Raised by the first
            product.
    """

    def __init__(
        self, name: str, output: Callable[[dict[str, Tensor]], Any], params: Mapping[str, Tensor]
    ) -> None:
        self.name, self.layout = name, Layout.of(params)
        with twice_differentiable(), LinearConvolutions():
            self._params = Snapshot.of(params).variables()
            leaves, self._spec = tree_flatten(output(dict(self._params)))
        self._places = [i for i, leaf in enumerate(leaves) if depends(leaf)]
        self._ends: Leaves = tuple(leaves[i] for i in self._places)
        check_outputs(name, self._ends)
        self._leaves = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.outputs: Leaves = tuple(self._leaves[i] for i in self._places)
        self._seeds: Leaves = ()
        self._pulled: dict[str, Tensor] | None = None
        self._closed = False

    def rebuilt(self, leaves: Sequence[Tensor]) -> Any:
        """The output's structure with `leaves` for the tensors that depend on the parameters."""
        found = list(self._leaves)
        for place, leaf in zip(self._places, leaves, strict=True):
            found[place] = leaf
        return tree_unflatten(found, self._spec)

    def seeded(self, cotangents: Leaves) -> Tensor:
        """J'u, shape (n,), with the graph of its dependence on u kept for products J v."""
        with twice_differentiable(), explained(self.name):
            self._seeds = tuple(u.detach().clone().requires_grad_() for u in cotangents)
            rows = torch.autograd.grad(
                self._ends,
                list(self._params.values()),
                self._seeds,
                create_graph=True,
                allow_unused=True,
            )
        found = {name: row for name, row in zip(self._params, rows, strict=True) if row is not None}
        check_dense(self.name, found)
        self._pulled = {name: row for name, row in found.items() if row.requires_grad}
        zeros = {name: torch.zeros_like(p) for name, p in self._params.items() if name not in found}
        return self.layout.flatten(found | zeros).detach()

    def prepare(self) -> None:
        """Build the graph that products J v need, unless `seeded` did."""
        if self._pulled is None:
            self.seeded(tuple(torch.zeros_like(z) for z in self.outputs))

    def push(self, vectors: Tensor) -> Leaves:
        """J v in the outputs' shapes for v of shape (n,); for (n, k), k of them in front."""
        self.check_open()
        self.prepare()
        pulled = self._pulled or {}
        parts = spread(self.layout, vectors)
        weights = [parts[name] for name in pulled]
        return self._derivatives(list(pulled.values()), self._seeds, weights, vectors.dim() == 2)

    def pull(self, leaves: Leaves) -> Tensor:
        """J'u, shape (n,), for u in the outputs' shapes; shape (n, k) for k of them in front."""
        self.check_open()
        stacked = leaves[0].dim() > self.outputs[0].dim()
        variables = list(self._params.values())
        rows = self._derivatives(list(self._ends), variables, list(leaves), stacked)
        return joined(self.layout, dict(zip(self._params, rows, strict=True)), stacked)

    def _derivatives(
        self, of: Sequence[Tensor], by: Sequence[Tensor], weights: Sequence[Tensor], stacked: bool
    ) -> Leaves:
        with twice_differentiable(), explained(self.name):
            return derivatives(of, by, weights, stacked)

    @cached_property
    def at_once(self) -> int:
        """How many vectors one pass should take: each needs about what the graphs hold."""
        numbers = self.held // self.layout.dtype.itemsize + self.layout.size
        return max(1, NUMBERS_AT_ONCE // numbers)

    @property
    def held(self) -> int:
        """Bytes that the graphs hold, beside the parameters."""
        if self._closed:
            return 0
        ends = (*self._ends, *(self._pulled or {}).values())
        return graph_bytes(ends, without=self._params.values())

    def check_open(self) -> None:
        """Raise RuntimeError after `close()`."""
        if self._closed:
            raise RuntimeError(
                f"{self.name} @ v after close(): the graph was freed. Take the products inside "
                f"the with block, or build the {self.name} again."
            )

    def close(self) -> None:
        """Free the graphs; products are refused from here on."""
        self._params, self._ends, self._leaves, self.outputs = {}, (), [], ()
        self._seeds, self._pulled, self._closed = (), None, True


def by_chunks(product: Callable[[Tensor], Tensor], vectors: Tensor, size: int) -> Tensor:
    """`product` of (n, k), by `size` columns at once; a single column goes as (n,)."""
    if size == 1:
        return torch.stack([product(column) for column in vectors.unbind(1)], 1)
    chunks: tuple[Tensor, ...] = torch.split(vectors, size, 1)
    return torch.cat([product(chunk) for chunk in chunks], 1)


def derivatives(
    of: Sequence[Tensor], by: Sequence[Tensor], weights: Sequence[Tensor], stacked: bool
) -> Leaves:
    """sum_i weights_i' d of_i / d by_j for each j, zeros where there is none; graphs are kept.

    Args:
        of: tensors with a graph.
        by: the tensors to differentiate in.
        weights: for each of `of`, a tensor of its shape; where `stacked`, k of them in front.
        stacked: then the results have k in front as well.
    """
    if not of:
        front = weights[0].shape[:1] if stacked and weights else ()
        return tuple(one.new_zeros((*front, *one.shape)) for one in by)
    if not stacked:
        return passed(of, by, weights)
    try:
        return passed(of, by, weights, is_grads_batched=True)
    except RuntimeError:  # an operation that vmap does not know, or none at all: one by one
        columns = [passed(of, by, column) for column in zip(*weights, strict=True)]
        return tuple(torch.stack(rows) for rows in zip(*columns, strict=True))


def passed(
    of: Sequence[Tensor], by: Sequence[Tensor], weights: Sequence[Tensor], **options: bool
) -> Leaves:
    """One backward pass."""
    rows = torch.autograd.grad(
        list(of), list(by), list(weights), retain_graph=True, allow_unused=True, **options
    )
    front = weights[0].shape[:1] if options else ()
    return tuple(
        one.new_zeros((*front, *one.shape)) if row is None else row.detach()
        for one, row in zip(by, rows, strict=True)
    )


def spread(layout: Layout, vectors: Tensor) -> dict[str, Tensor]:
    """Named tensors from (n,); from (n, k), each with k in front."""
    if vectors.dim() == 1:
        return layout.unflatten(vectors.detach())
    sizes = [shape.numel() for shape in layout.shapes]
    parts: tuple[Tensor, ...] = torch.split(vectors.detach().T, sizes, 1)
    return {
        name: part.reshape(len(part), *shape).to(device, dtype)
        for name, part, shape, device, dtype in zip(
            layout.names, parts, layout.shapes, layout.devices, layout.dtypes, strict=True
        )
    }


def joined(layout: Layout, tensors: Mapping[str, Tensor], stacked: bool) -> Tensor:
    """The inverse of `spread`."""
    if not stacked:
        return layout.flatten(tensors)
    parts = [
        tensors[name].reshape(-1, shape.numel()).to(layout.device, layout.dtype)
        for name, shape in zip(layout.names, layout.shapes, strict=True)
        if shape.numel()
    ]
    return torch.cat(parts, 1).T


def depends(leaf: object) -> bool:
    """Whether a part of the output is a tensor that depends on the parameters."""
    return isinstance(leaf, Tensor) and leaf.requires_grad


def check_outputs(name: str, outputs: Leaves) -> None:
    """Raise ValueError unless there are `outputs`, and all are real and finite."""
    if not outputs:
        raise ValueError(
            f"{name}: output(params) does not depend on params. Compute it from the tensors in "
            "params, with torch.func.functional_call(model, params, inputs) and without "
            f"torch.no_grad(), or use {name}.of_model."
        )
    for z in outputs:
        if not z.dtype.is_floating_point:
            raise ValueError(f"{name}: a tensor of the output is {z.dtype}; give real ones.")
        if not bool(torch.isfinite(z.detach()).all()):
            raise ValueError(
                f"{name}: the output is not finite at these parameters, so it has no curvature "
                "there. Go back to parameters where it is."
            )


def check_dense(name: str, gradients: Mapping[str, Tensor]) -> None:
    """Raise ValueError on a sparse gradient."""
    for parameter, gradient in gradients.items():
        if gradient.layout != torch.strided:
            raise ValueError(
                f"{name}: params[{parameter!r}] has a sparse gradient, which has no second "
                "derivative; build its layer with sparse=False."
            )
