"""Schedule-Free optimizers, under the names and with the calls of their authors' package.

The parameters hold the point y where gradients are taken; the model is to be evaluated at the
average x. Either for a block, and restored bit for bit,

    with averaged(optimizer):
        evaluate(model)

or by turns, as in the package: `optimizer.eval()` before evaluating or saving the model,
`optimizer.train()` before training goes on. Turning there and back may change the last bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import addcmul, sqrt

from thalweg.optim.classes.making import optimizer_class
from thalweg.optim.optimizer import RuleOptimizer
from thalweg.optim.rule import rule, slot
from thalweg.optim.wrappers import maximize
from thalweg.optim.wrappers.schedule_free import DOC, schedule_free


class TurningOptimizer(RuleOptimizer):
    """An optimizer whose parameters can be turned from y to the average x and back.

    A group's `train_mode` says which of them they are; a state that was saved in eval mode goes on
    after `train()`.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its parameters are where training left them."""
        super().add_param_group(param_group)
        self.param_groups[-1].setdefault("train_mode", True)

    @torch.no_grad()
    def eval(self) -> None:
        """Turn the parameters to the average x, where the model is to be evaluated."""
        self._turn(False, lambda b: 1 - 1 / b)

    @torch.no_grad()
    def train(self) -> None:
        """Turn the parameters to y, where gradients are to be taken."""
        self._turn(True, lambda b: 1 - b)

    def _turn(self, mode: bool, share: Callable[[float], float]) -> None:
        for group in self.param_groups:
            if group["train_mode"] is not mode:
                group["train_mode"] = mode
                beta = group["betas"][0] if "betas" in group else group["momentum"]
                for p in group["params"]:
                    if "z" in self.state.get(p, {}):
                        p.lerp_(self.state[p]["z"], share(beta))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Advance every parameter that has a gradient; returns the closure's loss, if one is given.

        Raises:
            RuntimeError: in eval mode.
        """
        if not all(group["train_mode"] for group in self.param_groups):
            raise RuntimeError(
                f"{type(self).__name__}.step(): the parameters are at the average, where eval() "
                "put them. Call train() before training goes on."
            )
        return super().step(closure)


@rule("pointwise", "odd", "rotation-equivariant")
def descent(p, g, *, lr=1e-3):  # type: ignore[no-untyped-def]
    """One step of gradient descent."""
    return (p - lr * g,)


@rule("pointwise", "odd", "loss-scale-invariant")
def by_root(  # type: ignore[no-untyped-def]
    p, g, v=slot("exp_avg_sq"), *, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8
):
    """One step of Adam without its first moment, whose beta is Schedule-Free's."""
    _, b2 = betas
    v = addcmul(b2 * v, g, g, value=1 - b2)
    return p - lr * g / (sqrt(v / (1 - b2**t)) + eps), v


SGDScheduleFree = cast(
    type[TurningOptimizer],
    optimizer_class(
        "SGDScheduleFree",
        maximize(schedule_free(descent, "momentum")),
        ("lr", "momentum", "weight_decay", "warmup_steps", "r", "weight_lr_power"),
        base=TurningOptimizer,
        module="thalweg.optim",
        lr=1.0,
        doc=f"""SGDScheduleFree: gradient descent without a schedule.

`momentum` is the interpolation beta: gradients are taken at (1 - momentum) z + momentum x. Evaluate
the model `with averaged(optimizer):`, or between `optimizer.eval()` and `optimizer.train()`.

{DOC}""",
    ),
)

AdamWScheduleFree = cast(
    type[TurningOptimizer],
    optimizer_class(
        "AdamWScheduleFree",
        maximize(schedule_free(by_root, "betas")),
        ("lr", "betas", "eps", "weight_decay", "warmup_steps", "r", "weight_lr_power"),
        base=TurningOptimizer,
        module="thalweg.optim",
        lr=0.0025,
        doc=f"""AdamWScheduleFree: AdamW without a schedule; the paper's algorithm 1.

The first of `betas` is the interpolation: gradients are taken at (1 - b1) z + b1 x, and divided by
the root of the corrected second moment. Evaluate the model `with averaged(optimizer):`, or between
`optimizer.eval()` and `optimizer.train()`.

{DOC}""",
    ),
)
