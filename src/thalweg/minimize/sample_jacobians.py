r"""The Gauss-Newton matrix written down from the samples' own Jacobians.

    B = sum_n J_n' H_n J_n,      J_n = d output_n / d params, shape (d, n);   H_n of the loss

Products with unit vectors would take one for each parameter. Where a model treats every sample by
itself, d backward passes over a batch, in which its samples are kept apart, give all J_n. That it
does is not assumed: the first matrix of a problem must give the product with a random vector that
the operator gives. Where it does not, where `torch.func.vmap` does not know what the model does,
and where the Jacobians are too large, products are taken.

Memory: N d n numbers for a batch of N samples, and n^2.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.func import jacrev, vmap
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.operators import Layout, Operator, ParameterOperator
from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.problem import Problem, Term

# Numbers that a batch's Jacobians may take.
LARGEST = 2**26
# Of rounding, squared: what two sums over all samples may differ by.
CLOSE = 0.5


@final
class Separable:
    """Whether samples' Jacobians tell a problem's Gauss-Newton matrices; seen at the first.

    Args:
        problem: the model, the loss and the data.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.known: bool | None = None


@final
class BySamples(Operator):
    """A Gauss-Newton matrix that is written down from samples' Jacobians, if it can be.

    Args:
        make: the operator, by its products; called when the first is asked for.
        params: names to tensors, the place.
        layout: of the matrix's rows.
        facts: of the operator.
        separable: of the problem that it belongs to.

    Attributes:
        passes: products and backward passes over the data, for what was written down.
    """

    name = "GaussNewton"

    def __init__(
        self,
        make: Callable[[], ParameterOperator],
        params: Mapping[str, Tensor],
        layout: Layout,
        facts: frozenset[str],
        separable: Separable,
    ) -> None:
        self.size, self.dtype, self.device = layout.size, layout.dtype, layout.device
        self.facts, self.passes = facts, 0
        self._make = make
        self._made: ParameterOperator | None = None
        self._params, self._layout, self._separable = params, layout, separable

    def _product(self, vector: Tensor) -> Tensor:
        return self._operator @ vector

    def _products(self, vectors: Tensor) -> Tensor:
        return self._operator @ vectors

    @property
    def _operator(self) -> ParameterOperator:
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def loss(self) -> float:
        """The loss there."""
        return self._operator.loss

    @property
    def gradient(self) -> Tensor:
        """The loss's gradient there, flat, shape (n,)."""
        return self._operator.gradient

    def to_dense(self) -> Tensor:
        """The matrix itself, shape (n, n)."""
        separable = self._separable
        matrix = None if separable.known is False else self._summed()
        if separable.known is None:
            separable.known = matrix is not None and self._agrees(matrix)
        if separable.known and matrix is not None:
            return matrix
        self.passes += self.size
        return self._operator.to_dense()

    def _summed(self) -> Tensor | None:
        """sum_n J_n' H_n J_n over all batches; None where a batch does not tell."""
        total = torch.zeros(self.size, self.size, dtype=self.dtype, device=self.device)
        for weight, term in self._separable.problem.terms():
            rows = sample_rows(term, self._params, self._layout)
            if rows is None:
                return None
            self.passes += rows.jacobian.shape[1]
            bent = (rows.hessian @ rows.jacobian).flatten(0, 1)
            total += weight * (rows.jacobian.flatten(0, 1).T @ bent)
        return total

    def _agrees(self, matrix: Tensor) -> bool:
        """Whether it gives the operator's product with a random vector."""
        generator = torch.Generator().manual_seed(0)
        vector = torch.randn(self.size, generator=generator, dtype=torch.float64).to(matrix)
        self.passes += 1
        known, found = self._operator @ vector, matrix @ vector
        allowed = torch.finfo(self.dtype).eps ** CLOSE * known.abs().max()
        return bool((known - found).abs().max() <= allowed)

    def close(self) -> None:
        """Free what the operator keeps."""
        if self._made is not None:
            self._made.close()


class SampleRows(NamedTuple):
    """A batch's Jacobians, shape (N, d, n), and the loss's Hessians in its outputs, (N, d, d)."""

    jacobian: Tensor
    hessian: Tensor


def sample_rows(term: Term, params: Mapping[str, Tensor], layout: Layout) -> SampleRows | None:
    """Of one batch; None where it does not fall into samples of which one by one can be asked."""
    with torch.no_grad():
        output = term.output(params)
    count = samples_in(term.batch.inputs)
    if not isinstance(output, Tensor) or not output.dim() or not count or len(output) != count:
        return None
    width = output[0].numel()
    if width >= layout.size or output.numel() * layout.size > LARGEST:
        return None
    try:
        jacobian = jacobians(term, params, layout)
    except (RuntimeError, ValueError, TypeError, NotImplementedError):  # nothing that vmap knows
        return None
    hessian = hessians(term, output)
    return None if hessian is None else SampleRows(jacobian, hessian)


def samples_in(inputs: object) -> int:
    """The length that all tensors of a batch's inputs have; 0 if they have none, or several."""
    lengths = {len(x) if isinstance(x, Tensor) and x.dim() else 0 for x in tree_leaves(inputs)}
    return lengths.pop() if len(lengths) == 1 else 0


def jacobians(term: Term, params: Mapping[str, Tensor], layout: Layout) -> Tensor:
    """J_n of all samples, shape (N, d, n)."""

    def of_one(variables: dict[str, Tensor], inputs: object) -> Tensor:
        alone = tree_map(lambda x: x.unsqueeze(0), inputs)
        output: Tensor = replace(term, batch=term.batch._replace(inputs=alone)).output(variables)
        return output.reshape(-1)

    with twice_differentiable():
        found = vmap(jacrev(of_one), in_dims=(None, 0))(dict(params), term.batch.inputs)
    return torch.cat([found[name].flatten(2).to(layout.dtype) for name in layout.names], 2)


def hessians(term: Term, output: Tensor) -> Tensor | None:
    """H_n of all samples, shape (N, d, d); None where the loss is linear in the output."""
    with torch.enable_grad(), twice_differentiable():
        point = output.detach().requires_grad_()
        # A loss that works in place must not find a leaf.
        value = term.loss_of_output(point.clone())
        (gradient,) = torch.autograd.grad(value, point, create_graph=True)
        if not gradient.requires_grad:
            return None
        columns = gradient.reshape(len(output), -1).sum(0)
        rows = [torch.autograd.grad(c, point, retain_graph=True)[0] for c in columns]
    return torch.stack([row.reshape(len(output), -1) for row in rows], 1)
