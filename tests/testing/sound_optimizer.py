"""A small optimizer that keeps every law, with a place for each fault that one can make.

It is Adam without the second bias correction, in the plainest form. `broken_optimizers.py` breaks
it in one place at a time.
"""

import torch
from torch.optim import Optimizer


class Sound(Optimizer):
    """Adam with one beta, weight decay through the gradient, and `maximize`."""

    def __init__(self, params, lr=0.05, beta=0.9, weight_decay=0.0, maximize=False):
        self.check(lr, weight_decay)
        defaults = {"lr": lr, "beta": beta, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def check(self, lr, weight_decay):
        """Refuse what is out of range."""
        if lr < 0:
            raise ValueError(f"lr={lr} is negative")
        if weight_decay < 0:
            raise ValueError(f"weight_decay={weight_decay} is negative")

    @torch.no_grad()
    def step(self, closure=None):
        loss = self.loss_of(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.advance(p, group)
        return loss

    def loss_of(self, closure):
        """Call the closure, if there is one."""
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def advance(self, p, group):
        """One parameter's step."""
        if p.grad.is_sparse:
            raise RuntimeError("sparse gradients are not supported")
        state = self.state[p]
        if not state:
            self.begin(p, state)
        state["step"] += 1
        self.move(p, self.direction(p, group, state), group)

    def begin(self, p, state):
        """The state before the first step."""
        state["step"] = torch.zeros(())
        state["mean"] = torch.zeros_like(p)
        state["square"] = torch.zeros_like(p)

    def gradient(self, p, group):
        """The gradient with its sign turned and the decay added."""
        g = -p.grad if group["maximize"] else p.grad
        return g + group["weight_decay"] * p if group["weight_decay"] else g

    def direction(self, p, group, state):
        """Where to go: the mean gradient over its root mean square."""
        g, beta = self.gradient(p, group), group["beta"]
        state["mean"].lerp_(g, 1 - beta)
        state["square"].mul_(beta).add_((1 - beta) * self.squared(g))
        correction = 1 - beta ** state["step"].item()
        root = self.root(state["square"] / correction)
        return self.divided(state["mean"] / correction, root)

    def squared(self, g):
        """Of real and imaginary parts on their own, if g is complex."""
        return torch.view_as_complex(torch.view_as_real(g) ** 2) if g.is_complex() else g * g

    def root(self, x):
        """The same way round."""
        return torch.view_as_complex(torch.view_as_real(x).sqrt()) if x.is_complex() else x.sqrt()

    def divided(self, m, root):
        """And so is the quotient."""
        if not m.is_complex():
            return m / (root + 1e-4)
        return torch.view_as_complex(torch.view_as_real(m) / (torch.view_as_real(root) + 1e-4))

    def move(self, p, direction, group):
        """Write the parameter."""
        p.sub_(group["lr"] * direction)
