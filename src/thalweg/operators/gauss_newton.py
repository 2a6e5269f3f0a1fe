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
from typing import Any, Unpack, final

from torch import Tensor, nn

from thalweg.operators.convexity import is_convex, is_piecewise_linear
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.penalty import penalty_hessian
from thalweg.operators.problem import Loss, Options, Problem
from thalweg.operators.pulled_back import LossOfOutput, PulledBack


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
        convex: bool | None = None,
        **options: Unpack[Options],
    ) -> ParameterOperator:
        """The Gauss-Newton matrix of the loss of all `data`, in the model's parameters.

        Args:
            model, loss, data: as `Hessian.of_model`.
            convex: whether the loss is convex in the model's output; None knows it of PyTorch's
                losses and claims it of no other.
            options: `Problem`'s. The Hessian of a `penalty` is added once.

        Raises:
            TypeError, ValueError: as `Problem` and the constructor, or the check failed.
        """
        if is_piecewise_linear(loss):
            raise ValueError(zero_matrix(f"loss={loss!r}"))
        bowl = is_convex(loss) if convex is None else convex
        return Problem(model, loss, data, **options).operator(
            lambda term: cls(term.output, term.loss_of_output, term.params, convex=bowl),
            of_penalty=penalty_hessian,
        )


def zero_matrix(loss: str) -> str:
    """What to do about a loss without curvature in the output."""
    return (
        f"GaussNewton: {loss} is (piecewise) linear in the model's output, so its Gauss-Newton "
        "matrix is zero. Let the model end with logits and take cross_entropy as the loss, or use "
        "Fisher or Hessian."
    )
