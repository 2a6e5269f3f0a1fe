"""Gradient noise that fades: every gradient gets normal noise, less of it at each step.

    GradientNoise(optimizer, eta=0.3)      # and train as ever

    g <- g + sigma_t n        sigma_t^2 = eta / (1 + t)^gamma        t = 0, 1, 2, ...

Early in training the noise shakes very deep or badly initialized nets out of where they are stuck;
later it is gone.

Reference: Neelakantan, Vilnis, Le, Sutskever, Kaiser, Kurach & Martens (2015), *Adding gradient
noise improves learning for very deep networks*, arXiv 1511.06807, equation 1; they try eta in
{0.01, 0.3, 1.0} with gamma = 0.55.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer


@final
class GradientNoise:
    """Adds the noise before each step of an optimizer and takes it away again after it.

    `p.grad` is what the loss gave again once the step is done. Where the gradient is clipped by
    `clip_grad_norm_`, clipping comes first, as in the paper. How far the noise has come is kept in
    the optimizer's own `state_dict`, so that what saves the optimizer saves the noise with it.

    Args:
        optimizer: whose gradients. A closure given to its `step` computes them with the noise, the
            same in each evaluation of one step; do not compare losses, as a line search does.
        eta: the variance of the first step's noise.
        gamma: how fast it fades.
        seed: of the noise, which has a generator of its own.

    Raises:
        ValueError: a negative eta or gamma; or, at a step, a sparse gradient.
    """

    def __init__(
        self, optimizer: Optimizer, eta: float = 0.3, gamma: float = 0.55, *, seed: int = 0
    ) -> None:
        if eta < 0 or gamma < 0:
            raise ValueError(f"GradientNoise(..., eta={eta}, gamma={gamma}): both are 0 or more.")
        self.optimizer, self.eta, self.gamma, self.steps = optimizer, eta, gamma, 0
        self.generator = torch.Generator().manual_seed(seed)
        self._own: list[tuple[Tensor, Tensor]] = []
        self._hooks = [
            optimizer.register_state_dict_post_hook(self._save),
            optimizer.register_load_state_dict_pre_hook(self._load),
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._restore),
        ]

    def variance(self, step: int) -> float:
        """sigma_t^2 of a step, counted from 0."""
        return float(self.eta / (1 + step) ** self.gamma)

    def detach(self) -> None:
        """Stop following the optimizer."""
        for hook in self._hooks:
            hook.remove()

    def _save(self, _: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        noise = {"steps": self.steps, "generator": self.generator.get_state()}
        return state | {"gradient_noise": noise}

    def _load(self, _: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        if noise := state.get("gradient_noise"):
            self.steps = noise["steps"]
            self.generator.set_state(noise["generator"].cpu())
        return {name: value for name, value in state.items() if name != "gradient_noise"}

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        """Add the noise to the gradients that are there, or let the closure of this step do so."""
        _, *given = args  # the optimizer itself comes first
        closure = kwargs.get("closure", given[0] if given else None)
        if closure is None:
            return self._add()
        drawn: dict[Tensor, Tensor] = {}  # the same for each evaluation in this step

        def noisy() -> Any:
            loss = closure()
            self._add(drawn)
            return loss

        return (optimizer, noisy, *given[1:]), {k: v for k, v in kwargs.items() if k != "closure"}

    def _add(self, drawn: dict[Tensor, Tensor] | None = None) -> None:
        drawn = {} if drawn is None else drawn
        sigma = self.variance(self.steps) ** 0.5
        groups = self.optimizer.param_groups
        there = [(p, p.grad) for group in groups for p in group["params"] if p.grad is not None]
        if any(gradient.is_sparse for _, gradient in there):
            raise ValueError(
                "GradientNoise: a gradient is sparse, and with noise everywhere it would not be. "
                "Make its layer with sparse=False."
            )
        self._own = there
        for p, gradient in there:
            if p not in drawn:
                drawn[p] = sigma * self._drawn(gradient)
            p.grad = gradient + drawn[p]

    def _drawn(self, like: Tensor) -> Tensor:
        """Standard normal numbers, drawn on the CPU so that every device sees the same."""
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype).to(like.device)

    def _restore(self, *_: Any) -> None:
        for parameter, gradient in self._own:
            parameter.grad = gradient
        self._own = []
        self.steps += 1
