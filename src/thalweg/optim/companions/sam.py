"""Sharpness-aware minimization: step along the gradient from where the loss is worst nearby.

Two gradients a step. The first one leads to the worst point within rho, to first order; the second
is taken there, and the inner optimizer steps along it from where the parameters were:

    e = rho g / |g|,    step along the gradient at p + e

with |g| the length of all gradients together. Where the valley is flat both gradients agree; where
it is narrow the second one points out of it. Adaptive (ASAM), lengths are measured in units of
each weight, so that rescaling a layer changes nothing:

    e = rho T^2 g / |T g|,    T = |p| + eta

Convention: rho may be set for each group; the length is that of all groups. eta is 0.01 in the
paper, and 0 in the code that most people use and here. A length below 1e-12 counts as that. Batch
norm gathers statistics at both points, unless the closure prevents it.

Reference: Foret, Kleiner, Mobahi & Neyshabur (2021), arXiv 2010.01412, algorithm 1; Kwon, Kim,
Park & Choi (2021), arXiv 2102.11600, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.optim.companions.around import Around
from thalweg.optim.optimizer import Params


class SAM(Around):
    """`SAM(model.parameters(), SGD, rho=0.05, lr=0.1)`, stepped with a closure.

    Args:
        params: as for any optimizer; a group may have its own `rho`.
        base_optimizer: the class of the inner optimizer, ours or PyTorch's.
        rho: how far away to look, >= 0.
        adaptive: measure in units of each weight (ASAM; rho is then about ten times larger).
        eta: what is added to a weight's size when adaptive, >= 0.
        options: for the inner optimizer.

    Raises:
        ValueError: rho or eta below 0.
    """

    own = ("rho", "adaptive", "eta", "origin")

    def __init__(
        self,
        params: Params,
        base_optimizer: Callable[..., Optimizer],
        rho: float = 0.05,
        adaptive: bool = False,
        eta: float = 0.0,
        **options: Any,
    ) -> None:
        for name, value in (("rho", rho), ("eta", eta)):
            if not value >= 0:
                raise ValueError(f"SAM({name}={value}): {name} must be >= 0.")
        super().__init__(base_optimizer(params, **options))
        self.rho, self.adaptive, self.eta = rho, adaptive, eta
        self.origin: list[tuple[Tensor, Tensor]] = []  # while away: where the parameters were

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along the gradient from the worst point nearby.

        Args:
            closure: clears the gradients, computes the loss, calls `backward` and returns the
                loss; it is called twice.

        Returns:
            The loss where the parameters were before the step.

        Raises:
            RuntimeError: no closure.
        """
        if closure is None:
            raise RuntimeError(
                "SAM.step(): it needs the gradient at two points. Give step a closure that clears "
                "the gradients, computes the loss, calls backward and returns the loss; or call "
                "first_step() after one backward and second_step() after another."
            )
        with torch.enable_grad():
            loss = closure()
        self.first_step(zero_grad=True)
        try:
            with torch.enable_grad():
                closure()
        except BaseException:
            self._return()
            raise
        self.second_step()
        return loss

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False) -> None:
        """Go to the worst point nearby, by the gradients as they are.

        Raises:
            RuntimeError: it is there already.
        """
        if self.origin:
            raise RuntimeError("SAM.first_step(): called twice. Call second_step() in between.")
        moving = list(self._moving())
        scaled = [g * self._unit(p) for p, g, _ in moving]
        length = torch.nn.utils.get_total_norm(scaled)
        for (p, _, rho), x in zip(moving, scaled, strict=True):
            self.origin.append((p, p.detach().clone()))
            p.add_(x * self._unit(p) * (rho / length.to(p.device).clamp(min=1e-12)))
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad: bool = False) -> None:
        """Go back, and step along the gradients as they are now."""
        self._return()
        self.optimizer.step()
        if zero_grad:
            self.zero_grad()

    def _return(self) -> None:
        for p, value in self.origin:
            p.copy_(value)
        self.origin = []

    def _unit(self, p: Tensor) -> Tensor | float:
        return p.detach().abs() + self.eta if self.adaptive else 1.0

    def _moving(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The parameters that have a gradient, with it and the rho of their group."""
        for group in self.param_groups:
            rho = group.get("rho", self.rho)
            yield from ((p, p.grad, rho) for p in group["params"] if p.grad is not None)
