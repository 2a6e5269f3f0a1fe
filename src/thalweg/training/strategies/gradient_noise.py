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
        optimizer: whose gradients; its `step` is called without a closure.
        eta: the variance of the first step's noise.
        gamma: how fast it fades.
        seed: of the noise, which has a generator of its own.

    Raises:
        ValueError: a negative eta or gamma; or, in a step, that it was given a closure.
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
            optimizer.register_step_pre_hook(self._add),
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
            self.generator.set_state(noise["generator"])
        return {name: value for name, value in state.items() if name != "gradient_noise"}

    def _add(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        given = [one for one in (*args, *kwargs.values()) if one is not optimizer]
        if any(callable(one) for one in given):
            raise ValueError(
                "GradientNoise: step(closure) computes its gradients inside the step, where noise "
                "does not reach them. Call backward() and then step() without a closure."
            )
        sigma = self.variance(self.steps) ** 0.5
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._own = [(p, p.grad) for p in parameters if p.grad is not None]
        for parameter, gradient in self._own:
            parameter.grad = gradient + sigma * self._drawn(gradient)

    def _drawn(self, like: Tensor) -> Tensor:
        """Standard normal numbers, drawn on the CPU so that every device sees the same."""
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype).to(like.device)

    def _restore(self, *_: Any) -> None:
        for parameter, gradient in self._own:
            parameter.grad = gradient
        self._own = []
        self.steps += 1
