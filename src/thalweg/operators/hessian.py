r"""The Hessian of a loss at given parameters, known by its products.

    H v = d/dw ( g(w) . v ),        g = gradient of the loss

Pearlmutter, *Fast exact multiplication by the Hessian* (Neural Computation, 1994).

The loss is evaluated once. The graph of its gradient is kept, and each product is one backward pass
through it. Where a dense layer costs 1 forward and 2 backward, a gradient costs 3 and a product 6:
**two gradients a product**, against three when every product starts again from the loss.

Memory: a copy of the parameters, and until `close()` the graph, which holds the activations of the
forward pass together with the intermediate results of the backward pass: two to three times what a
training step on the same batch holds at its peak. Take a smaller batch if that is too much.

Attention is computed by PyTorch's math kernel, since the fast kernels have no second derivative.
Recurrent layers of `torch.nn` on CUDA have none in cuDNN either: build the Hessian there under
`torch.backends.cudnn.flags(enabled=False)`.

Dropout keeps the one mask of that evaluation; batch normalization in train mode contributes the
derivatives of its batch statistics. A loss that is piecewise linear in a unit (ReLU) has the
Hessian of the piece that the parameters lie in.
"""

from collections.abc import Mapping
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.layout import Layout
from thalweg.operators.memory import budget
from thalweg.operators.model_loss import LossOfParameters
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.problem import Loss, Options, Problem, Term
from thalweg.operators.snapshot import Snapshot
from thalweg.operators.ways import Way, WayName, chosen


@final
class Hessian(ParameterOperator):
    """The Hessian of `loss` at `params`.

    Args:
        loss: from named parameters to a scalar tensor; it must compute with the tensors that it is
            handed, which are copies. It is called once, and its side effects are its own
            (`operators.model_loss` makes a function of a model's loss that has none).
        params: names to tensors; the values are copied, so later updates do not disturb.
        way: how products are taken: "reverse", "forward", "linearize", "compiled", or "auto" for
            the fastest by measurement; see `operators.ways`.
        products: how many are to be expected; "auto" prepares what they can pay for.
        memory: bytes that "auto" may keep for them; None for a quarter of what is free.

    Attributes:
        loss: the loss there, a float.
        gradient: the gradient there, flat, shape (n,).
        layout: where each parameter lies in the flat vectors.
        measured: seconds of a product by each way that "auto" tried.

    Raises:
        TypeError: `params` is not a mapping of names to tensors, or the loss no tensor.
        ValueError: the loss is not a scalar, not finite, or does not depend on `params`, or a
            gradient is sparse or not finite.
        NotImplementedError: PyTorch has no second derivative of an operation in the loss. Raised
            here or by the first product.

    A parameter that the loss does not use has zero rows and columns. Use it as a context manager,
    or call `close()`, to free the graph as soon as the products are done.
    """

    def __init__(
        self,
        loss: LossOfParameters,
        params: Mapping[str, Tensor],
        *,
        way: WayName = "reverse",
        products: int = 100,
        memory: float | None = None,
    ) -> None:
        self.layout = Layout.of(params)
        self.name = "Hessian"
        self.facts = frozenset()
        self._function, self._params = loss, Snapshot.of(params)
        self._way: Way | None
        room = budget(self.layout.device) if memory is None else memory
        self._way, self.measured = chosen(way, loss, self._params, products, room)
        self.loss = self._way.loss
        self.gradient = self._flat(self._way.gradients)

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        loss: Loss,
        data: Any,
        *,
        way: WayName = "reverse",
        products: int = 100,
        **options: Unpack[Options],
    ) -> ParameterOperator:
        """The Hessian of the loss of all `data`, in the model's parameters.

        Args:
            model: in the mode (train or eval) whose loss is meant; its buffers, its gradients and
                the random state are left as they are.
            loss: from the model's output and the targets to a scalar tensor.
            data: one batch (inputs, targets), or a list or `DataLoader` of batches, weighted by
                their samples. Inputs may be a tuple or list of positional arguments or a mapping
                of keyword arguments.
            way, products: of each batch's Hessian, as in the constructor.
            options: `params`, `penalty`, `reduction`, `samples`, `memory`, `check`, `group`: what
                they mean, and more on those above, is said by `Problem`. The check costs a forward
                pass and two products on the first batch.

        Raises:
            TypeError, ValueError: as `Problem` and the constructor, or the check failed.
        """
        problem, memory = Problem(model, loss, data, **options), options.get("memory")

        def of_term(term: Term) -> Hessian:
            return cls(term.loss, term.params, way=way, products=products, memory=memory)

        return problem.operator(of_term, of_penalty=cls)

    @property
    def held(self) -> int:
        """Bytes kept for products, beside the parameters."""
        return 0 if self._way is None else self._way.held

    def _product(self, vector: Tensor) -> Tensor:
        return self._flat(self._open().product(self.layout.unflatten(vector.detach())))

    @property
    def place(self) -> Tensor:
        """The parameters, flat, shape (n,)."""
        self._open()
        return self.layout.flatten(self._params).detach()

    def loss_at(self, by: Tensor) -> float:
        """The loss at the parameters plus `by`; may be infinite or no number."""
        self._open()
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            return float(self._function(self._displaced(by)))

    def gradient_at(self, by: Tensor) -> Tensor:
        """The gradient at the parameters plus `by`."""
        self._open()
        with twice_differentiable():
            there = Snapshot(self._displaced(by)).variables()
            value = self._function(dict(there))
            found = torch.autograd.grad(value, list(there.values()), materialize_grads=True)
        return self.layout.flatten(dict(zip(there, found, strict=True))).detach()

    def _displaced(self, by: Tensor) -> dict[str, Tensor]:
        steps = self.layout.unflatten(by.detach())
        return {name: p.detach() + steps[name] for name, p in self._params.items()}

    def _flat(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The flat vector of parts by name, zero where one is missing."""
        filled = {name: parts.get(name, torch.zeros_like(p)) for name, p in self._params.items()}
        return self.layout.flatten(filled).detach()

    def _open(self) -> Way:
        if self._way is None:
            raise RuntimeError(
                "Hessian @ v after close(): the graph was freed. Take the products inside the "
                "with block, or build the Hessian again."
            )
        return self._way

    def close(self) -> None:
        """Free the graph; `loss` and `gradient` stay, products are refused from here on."""
        self._way = None
        self._params = Snapshot()
