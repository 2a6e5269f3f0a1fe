"""What is compared: PyTorch's optimizers and ours, in every form.

All contestants on a model share its parameters' and gradients' memory, as nothing depends on the
values; each has state of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from thalweg import optim

# Hyperparameters that are not the defaults, because with the defaults it would be another rule.
OPTIONS: dict[str, dict[str, Any]] = {"sgd": {"momentum": 0.9}}

MATRICES_ONLY = {"muon"}  # these run on what the model has of them


@dataclass
class Model:
    """Parameters and gradients of one architecture."""

    tensors: list[torch.Tensor]
    gradients: list[torch.Tensor]
    device: str

    @classmethod
    def of(cls, architecture, device):
        make = lambda: [torch.randn(shape, device=device) for shape in architecture.shapes]
        return cls(make(), make(), device)

    def renew(self):
        """Fresh values: what one rule has made of them must not slow the next one down."""
        for x in (*self.tensors, *self.gradients):
            x.normal_()

    @property
    def bytes(self):
        """Of the parameters."""
        return sum(x.nbytes for x in self.tensors)


class Stepper:
    """A `torch.optim.Optimizer` at work on a model.

    Args:
        kind: its class.
        model: on which.
        options: hyperparameters.
        own_gradients: for optimizers that may write into the gradients.
    """

    def __init__(self, kind, model, options, own_gradients=False):
        self.params = [torch.nn.Parameter(x) for x in model.tensors]
        self.gradients = [g.clone() for g in model.gradients] if own_gradients else model.gradients
        self.ready()
        self.optimizer = kind(self.params, **options)
        if hasattr(self.optimizer, "train"):  # Schedule-Free's optimizers wait for it
            self.optimizer.train()

    def ready(self):
        """Put gradients in place; some optimizers take them away."""
        if self.params[0].grad is None:
            for p, g in zip(self.params, self.gradients, strict=True):
                p.grad = g

    def step(self):
        self.optimizer.step()


@dataclass(frozen=True)
class Contestant:
    """One column of a table."""

    title: str
    start: Callable[[Model], Any]  # raises where it cannot run on this model


def torch_optimizer(title, kind, options, own_gradients=False):
    """A contestant, or None where the class does not take these options."""
    try:
        kind([torch.nn.Parameter(torch.zeros(2, 2))], **options)
    except (TypeError, ValueError, RuntimeError):
        return None
    return Contestant(title, lambda model: Stepper(kind, model, options, own_gradients))


def ours(name, forms):
    """Our optimizer of this name, in the forms that its rule permits."""
    kind, options = optim.OPTIMIZERS[name], OPTIONS.get(name, {})
    return _present(torch_optimizer(form, kind, {**options, "form": form}) for form in forms)


def torchs(name):
    """PyTorch's optimizer of the same name, as it has it: the loop, foreach, fused."""
    kind = getattr(torch.optim, optim.OPTIMIZERS[name].__name__, None)
    if kind is None:
        return []
    options = OPTIONS.get(name, {})
    loop = torch_optimizer("torch", kind, {**options, "foreach": False})
    return _present(
        [
            loop or torch_optimizer("torch", kind, options),
            torch_optimizer("foreach", kind, {**options, "foreach": True}),
            torch_optimizer("fused", kind, {**options, "fused": True}),
        ]
    )


def _present(contestants):
    return [each for each in contestants if each is not None]


def state_and_moved(optimizer):
    """Bytes of a rule's state, and bytes that its step must move.

    It reads the parameter, its gradient and the state, and writes the parameter and the state.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    size, state = sum(p.nbytes for p in params), _state_bytes(optimizer)
    return state, 3 * size + 2 * state


def _state_bytes(optimizer):
    names = [s.name for s in optimizer.rule.slots]
    kept = (own.get(name) for own in optimizer.state.values() for name in names)
    return sum(x.nbytes for x in kept if isinstance(x, torch.Tensor))
