"""The loss that is minimized, as the loop sees it: flat vectors in, floats and flat vectors out.

A loss is a function of one tensor of any shape that gives a scalar tensor, differentiated by
autograd; or one that gives its value and its gradient. Inside, points and gradients are flat.
"""

import copy
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from thalweg.minimize.contract import Need
from thalweg.minimize.counts import Counts
from thalweg.minimize.model_loss import ModelLoss
from thalweg.operators import EigenvalueCorrected, Hessian, Kronecker, Operator
from thalweg.operators.batches import Batch
from thalweg.operators.evaluation import Settings
from thalweg.operators.likelihood import OfOutput
from thalweg.operators.problem import Selection
from thalweg.operators.reduction import Reduction

Loss = Callable[[Tensor], Any]
OperatorAt = Callable[[Tensor], Operator]
FactorsAt = Callable[[Tensor, Settings], Kronecker]
CorrectedAt = Callable[[Tensor, Settings, Kronecker | None], EigenvalueCorrected]


@final
class Objective:
    """A loss with what can be asked of it; everything asked is counted.

    Args:
        f: from a tensor of x0's shape, dtype and device to a scalar tensor that autograd can
            differentiate; with `gives_gradient`, to the pair (value, gradient).
        x0: the start; points have its shape, dtype and device.
        gives_gradient: whether `f` gives its gradient itself, of x0's shape.
        hessian, gauss_newton, fisher: from a point of x0's shape to the operator there, over flat
            vectors. The Hessian of an `f` that autograd differentiates need not be given.
        kronecker: from such a point and the settings of factors to `operators.Kronecker` there.
        eigenvalue_corrected: from such a point, settings, and factors whose basis is to be taken or
            None, to `operators.EigenvalueCorrected` there.

    Attributes:
        start: a copy of x0.
        size: n, the number of entries of x0.
        counts: what was asked of this object so far; every run asks one of its own.

    Raises:
        TypeError: `f` cannot be called, or x0 is no real floating-point tensor.
        ValueError: x0 is empty.
    """

    def __init__(
        self,
        f: Loss,
        x0: Tensor,
        *,
        gives_gradient: bool = False,
        hessian: OperatorAt | None = None,
        gauss_newton: OperatorAt | None = None,
        fisher: OperatorAt | None = None,
        kronecker: FactorsAt | None = None,
        eigenvalue_corrected: CorrectedAt | None = None,
    ) -> None:
        check_start(x0)
        if not callable(f):
            raise TypeError(f"Objective(f): f is a {type(f).__name__}; give a function of x.")
        self.shape, self.size = x0.shape, x0.numel()
        self.start = x0.detach().clone()
        self.counts = Counts()
        self._f, self._gives_gradient = f, gives_gradient
        self._operators: dict[Need, OperatorAt] = {}
        if hessian is not None or not gives_gradient:
            self._operators["hessian"] = hessian or self._hessian
        if gauss_newton is not None:
            self._operators["gauss-newton"] = gauss_newton
        if fisher is not None:
            self._operators["fisher"] = fisher
        self._kronecker, self._corrected = kronecker, eigenvalue_corrected

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        loss: Callable[[Any, Any], Tensor],
        data: Any,
        *,
        params: Selection = None,
        reduction: Reduction | None = None,
        samples: Callable[[Batch], float] | None = None,
        likelihood: OfOutput | None = None,
    ) -> "Objective":
        """A model's loss over data as a function of its parameters, with all its matrices.

            >>> objective = Objective.of_model(model, nn.CrossEntropyLoss(), (inputs, targets))
            >>> result = minimize(objective, objective.start, direction="k-fac")
            >>> nn.utils.vector_to_parameters(result.x, model.parameters())

        Points are flat vectors of shape (n,), the parameters one after another; `start` is where
        the model is. The model is left as it is, and must be left so: its buffers and modes are
        those that every evaluation begins from. Random draws are the same ones each time.

        Args:
            model: in the mode (train or eval) whose loss is meant.
            loss: from the model's output and a batch's targets to a scalar tensor.
            data: one batch (inputs, targets), or a list or `DataLoader` of batches, weighted by
                their samples.
            params: which parameters vary; None for all that require gradients.
            reduction, samples: of the loss over a batch; see `operators.problem.Problem`.
            likelihood: for losses other than PyTorch's likelihoods, what the Fisher is of.
        """
        at = ModelLoss(
            model,
            loss,
            data,
            params=params,
            reduction=reduction,
            samples=samples,
            likelihood=likelihood,
        )
        return cls(
            at.value_and_gradient,
            at.start,
            gives_gradient=True,
            hessian=at.hessian,
            gauss_newton=at.gauss_newton,
            fisher=at.fisher if at.has_likelihood else None,
            kronecker=at.kronecker,
            eigenvalue_corrected=at.eigenvalue_corrected,
        )

    def counted_anew(self) -> "Objective":
        """The same loss and matrices, with counts from zero."""
        other = copy.copy(self)
        other.counts = Counts()
        return other

    @property
    def offers(self) -> frozenset[Need]:
        """The matrices that it can make."""
        factors: dict[Need, object] = {
            "kronecker": self._kronecker,
            "eigenvalue-corrected": self._corrected,
        }
        return frozenset({*self._operators, *(need for need, at in factors.items() if at)})

    def evaluate(self, x: Tensor) -> tuple[float, Tensor]:
        """The loss and its gradient at flat `x`: a float and a tensor of shape (n,).

        Either may be infinite or no number.

        Raises:
            TypeError, ValueError: `f` returned something else than it should.
        """
        self.counts.losses += 1
        self.counts.gradients += 1
        at = x.detach().reshape(self.shape)
        value, gradient = (self._given if self._gives_gradient else self._differentiated)(at)
        return float(value.detach()), gradient.detach().reshape(-1).to(x)

    def operator(self, need: Need, x: Tensor) -> Operator:
        """The matrix `need` at flat `x`.

        Raises:
            ValueError: the objective does not know it.
        """
        if need not in self._operators:
            raise unknown(need)
        self.counts.matrices += 1
        return self._operators[need](x.detach().reshape(self.shape))

    def kronecker(self, x: Tensor, settings: Settings) -> Kronecker:
        """Kronecker factors at flat `x`.

        Raises:
            ValueError: the objective does not know them.
        """
        if self._kronecker is None:
            raise unknown("kronecker")
        self.counts.matrices += 1
        return self._kronecker(x.detach().reshape(self.shape), settings)

    def eigenvalue_corrected(
        self, x: Tensor, settings: Settings, basis: Kronecker | None
    ) -> EigenvalueCorrected:
        """Kronecker factors with corrected eigenvalues at flat `x`, in `basis` or in their own.

        Raises:
            ValueError: the objective does not know them.
        """
        if self._corrected is None:
            raise unknown("eigenvalue-corrected")
        self.counts.matrices += 1
        return self._corrected(x.detach().reshape(self.shape), settings, basis)

    def _differentiated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient by autograd."""
        with torch.enable_grad():
            variable = x.clone().requires_grad_()
            value = checked_value(self._f(variable))
            if not value.requires_grad:
                raise ValueError(
                    "f(x) does not depend on x by operations that autograd knows: the loss has no "
                    "gradient. Compute it with torch from the x that f is handed, or give "
                    "Objective(f, x0, gives_gradient=True) an f that returns (value, gradient)."
                )
            (gradient,) = torch.autograd.grad(value, variable, materialize_grads=True)
        return value, gradient

    def _given(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient as `f` gives them."""
        pair = self._f(x.clone())
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"f(x) gave a {type(pair).__name__}; with gives_gradient=True it must return "
                "the pair (value, gradient)."
            )
        value, gradient = (torch.as_tensor(part) for part in pair)
        if gradient.shape != self.shape:
            raise ValueError(
                f"f(x) gave a gradient of shape {tuple(gradient.shape)} at an x of shape "
                f"{tuple(self.shape)}; the two must agree."
            )
        return checked_value(value), gradient

    def _hessian(self, x: Tensor) -> Operator:
        """The Hessian by autograd."""
        return Hessian(lambda params: checked_value(self._f(params["x"])), {"x": x})


def unknown(need: Need) -> ValueError:
    """The error for a matrix that an objective does not know."""
    return ValueError(
        f"the objective has no {need} matrix; give Objective({need.replace('-', '_')}=...), a "
        "function from x to a thalweg operator, or take a direction that needs none."
    )


def check_start(x0: object) -> None:
    """Raise TypeError or ValueError unless `x0` is a point to start from."""
    if not isinstance(x0, Tensor):
        raise TypeError(f"x0 is a {type(x0).__name__}; give a torch.Tensor, the point to start at.")
    if not x0.dtype.is_floating_point:
        raise TypeError(f"x0 is {x0.dtype}; give real floating point: x0.double().")
    if x0.numel() == 0:
        raise ValueError(f"x0 has shape {tuple(x0.shape)}: there is nothing to minimize over.")


def checked_value(value: object) -> Tensor:
    """`value` as a tensor of no dimensions; raises TypeError or ValueError if it is no scalar."""
    if not isinstance(value, Tensor):
        raise TypeError(f"f(x) gave a {type(value).__name__}; it must return a scalar tensor.")
    if value.numel() != 1:
        raise ValueError(
            f"f(x) gave a tensor of shape {tuple(value.shape)}; a loss is one number: take its "
            "sum or its mean."
        )
    return value.reshape(())
