r"""The generalized Gauss-Newton matrix: the Hessian without the curvature of the model itself.

    G v = J' ( H (J v) ),    J = Jacobian of the model's output in the parameters,
                             H = Hessian of the loss in the output

For a loss L(z(w)) the Hessian is G + sum_i (dL/dz_i) d2z_i/dw2; G leaves the sum out. It equals the
Hessian where the model is linear in its parameters, or fits the data exactly, and it is positive
semidefinite wherever the loss is convex in the output, however bent the model is.

Schraudolph, *Fast curvature matrix-vector products for second-order gradient descent* (Neural
Computation, 2002); Martens, *New insights and perspectives on the natural gradient method* (arXiv
1412.1193), section 8.

Cost of a product: 4/3 of a gradient (`operators.linearization`).

G depends on where the model ends and the loss begins. A model that ends in a log-softmax under the
negative log-likelihood has a loss that is linear in its output, and G = 0: it is refused. End the
model with the logits and take the cross entropy as the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from torch import Tensor, nn

from thalweg.operators.batches import Batch
from thalweg.operators.convexity import is_convex, is_piecewise_linear
from thalweg.operators.distributed import Group
from thalweg.operators.hessian import Hessian
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.problem import Loss, Penalty, Problem, Selection
from thalweg.operators.pulled_back import LossOfOutput, PulledBack
from thalweg.operators.reduction import Reduction


@final
class GaussNewton(PulledBack):
    """J' H J for `loss` of `output` at `params`.

    Args:
        output: from named parameters to the model's output, of any structure; it must compute with
            the tensors that it is handed, which are copies. Called once.
        loss: from that output to a scalar tensor. Called once.
        params: names to tensors; the values are copied.
        convex: whether the loss is convex in the output; then the matrix is known to be psd.

    Attributes:
        loss: the loss there, a float.
        gradient: the gradient there, flat, shape (n,).
        layout: where each parameter lies in the flat vectors.

    Raises:
        TypeError: `params` is not a mapping of names to tensors, or the loss no tensor.
        ValueError: the loss is not a scalar, not finite or linear in the output, or the output
            does not depend on the parameters.
        NotImplementedError: PyTorch has no second derivative of an operation.

    Use it as a context manager, or call `close()`, to free the graphs.
    """

    def __init__(
        self,
        output: Callable[[dict[str, Tensor]], Any],
        loss: LossOfOutput,
        params: Mapping[str, Tensor],
        *,
        convex: bool = False,
    ) -> None:
        facts = frozenset({"psd"}) if convex else frozenset[str]()
        super().__init__("GaussNewton", output, loss, params, facts)
        self.metric = self.loss_of_output.hessian
        if self.loss_of_output.is_linear:
            raise ValueError(zero_matrix("the loss"))

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        loss: Loss,
        data: Any,
        *,
        params: Selection = None,
        penalty: Penalty | None = None,
        reduction: Reduction | None = None,
        samples: Callable[[Batch], float] | None = None,
        memory: float | None = None,
        check: bool = True,
        group: Group | None = None,
        convex: bool | None = None,
    ) -> ParameterOperator:
        """The Gauss-Newton matrix of the loss of all `data`, in the model's parameters.

        Args:
            model: in the mode (train or eval) whose loss is meant; it is left as it is.
            loss: from the model's output and the targets to a scalar tensor.
            data: one batch (inputs, targets), or a list or `DataLoader` of batches, weighted by
                their samples.
            params: which parameters vary; None for all that require gradients.
            penalty: from the model's parameters by name to a scalar; its Hessian is added once.
            reduction: "mean" or "sum", what the loss does over a batch; None reads it from `loss`.
            samples: from a batch to the number of its samples, where its length is another.
            memory: bytes that may be kept for products; None for a quarter of what is free.
            check: see that the loss repeats itself and that the matrix is symmetric.
            convex: whether the loss is convex in the model's output; None knows it of PyTorch's
                losses and claims it of no other.
            group: the processes whose data counts; by default those that train the model together.

        `Problem` says more on each.

        Raises:
            TypeError, ValueError: as `Problem` and the constructor, or the check failed.
        """
        if is_piecewise_linear(loss):
            raise ValueError(zero_matrix(f"loss={loss!r}"))
        bowl = is_convex(loss) if convex is None else convex
        problem = Problem(
            model,
            loss,
            data,
            params=params,
            penalty=penalty,
            reduction=reduction,
            samples=samples,
            memory=memory,
            check=check,
            group=group,
        )
        return problem.operator(
            lambda term: cls(term.output, term.loss_of_output, term.params, convex=bowl),
            of_penalty=Hessian,
        )


def zero_matrix(loss: str) -> str:
    """What to do about a loss without curvature in the output."""
    return (
        f"GaussNewton: {loss} is (piecewise) linear in the model's output, so its Gauss-Newton "
        "matrix is zero. Let the model end with logits and take cross_entropy as the loss, or use "
        "Fisher or Hessian."
    )
