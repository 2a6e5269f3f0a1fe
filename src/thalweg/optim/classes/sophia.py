"""Sophia with its estimators: `update_hessian` renews the curvature that the rule divides by."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from thalweg.optim.classes.making import optimizer_class
from thalweg.optim.companions.hessian_diagonals import gauss_newton, hutchinson
from thalweg.optim.optimizer import RuleOptimizer
from thalweg.optim.rules import sophia
from thalweg.optim.wrappers import decoupled, maximize


class CurvatureOptimizer(RuleOptimizer):
    """An optimizer that keeps a running estimate of the Hessian's diagonal."""

    def update_hessian(
        self,
        *,
        loss: Tensor | None = None,
        logits: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Take a new estimate of the diagonal into the state `hessian`.

        Args:
            loss: for Hutchinson's estimator: the loss of a batch, with its graph.
            logits: for the Gauss-Newton-Bartlett estimator: a model's outputs, B rows of one entry
                for each class, where the loss is their mean cross-entropy.
            generator: of the random numbers.

        Raises:
            TypeError: both or neither of loss and logits; a complex parameter.
        """
        if (loss is None) == (logits is None):
            raise TypeError(
                f"{type(self).__name__}.update_hessian: give either loss=, for Hutchinson's "
                "estimator, or logits=, for the Gauss-Newton-Bartlett estimator."
            )
        pairs = [(p, g) for g in self.param_groups for p in g["params"] if p.requires_grad]
        params = [p for p, _ in pairs]
        if any(p.is_complex() for p in params):
            raise TypeError(
                f"{type(self).__name__}.update_hessian: a parameter is complex, and has no "
                "diagonal of one number a coordinate. Keep it as pairs of reals "
                "(torch.view_as_real)."
            )
        with torch.enable_grad():
            if loss is not None:
                estimates = hutchinson(loss, params, generator)
            else:
                estimates = gauss_newton(cast(Tensor, logits), params, generator)
        for (p, group), estimate in zip(pairs, estimates, strict=True):
            if estimate is not None:
                self._average(p, estimate, group["betas"][1])

    @torch.no_grad()
    def _average(self, p: Tensor, estimate: Tensor, b2: float) -> None:
        """h <- b2 h + (1 - b2) estimate."""
        if "hessian" not in self.state[p]:
            self.state[p]["hessian"] = torch.zeros_like(p)
        kept = self.state[p]["hessian"]
        kept.lerp_(estimate.detach().to(kept.dtype), 1 - float(b2))


Sophia = cast(
    type[CurvatureOptimizer],
    optimizer_class(
        "Sophia",
        maximize(decoupled(sophia)),
        ("lr", "betas", "curvature_scale", "eps", "weight_decay"),
        base=CurvatureOptimizer,
        weight_decay=0.1,
        module="thalweg.optim",
        doc=f"""Sophia: clipped momentum over a diagonal of the Hessian.

    loss = loss_of(model(x), y)
    if step % 10 == 0:
        optimizer.update_hessian(loss=loss)      # Sophia-H; or logits=model(x): Sophia-G
    loss.backward()
    optimizer.step()

With `maximize`, give the negative loss.

{sophia.doc}""",
    ),
)
