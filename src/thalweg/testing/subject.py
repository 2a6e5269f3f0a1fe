"""The optimizer under test: how to build it, and how to make it step on given gradients.

Laws say what happens ("these gradients, then those"); a `Subject` knows how this optimizer wants it
told: with a closure, with sparse gradients, in which shapes. `probing.py` finds that out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

Gradients = Mapping[Tensor, Tensor | None]


@dataclass(frozen=True)
class Subject:
    """An optimizer class with settings, and how it is driven.

    Attributes:
        make: the class, or a function that takes what the class would.
        settings: keyword arguments that every instance is built with.
        starts: example parameters, at least two; laws work on copies.
        sparse: it takes sparse gradients only.
        needs_closure: `step` must be given a closure.
        needs_graph: the closure's loss must have its graph, to be differentiated twice.
        coupled: the step of one parameter depends on the gradients of others.
        steps: how many steps a run takes; more for rules that do not move at first.
    """

    make: Callable[..., Optimizer]
    settings: Mapping[str, Any]
    starts: tuple[Tensor, ...]
    sparse: bool = False
    needs_closure: bool = False
    needs_graph: bool = False
    coupled: bool = False
    steps: int = 4

    @property
    def name(self) -> str:
        """The class's name."""
        return str(getattr(self.make, "__qualname__", self.make))

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return self.starts[0].device

    def takes(self, name: str) -> bool:
        """Whether the constructor has such an argument."""
        try:
            named = name in inspect.signature(self.make).parameters
        except (TypeError, ValueError):  # some classes have no signature to read
            named = False
        return named or name in self.build(self.parameters()).defaults

    def parameters(self, starts: Iterable[Tensor] | None = None) -> list[Parameter]:
        """Fresh parameters with the values and the memory layout of `starts`."""
        return [Parameter(start.detach().clone()) for start in starts or self.starts]

    def tensor(self, *shape: int, seed: int = 1000, dtype: torch.dtype | None = None) -> Tensor:
        """Values between 1 and 2 in size, of either sign, of the parameters' type and device."""
        source = torch.Generator().manual_seed(seed)
        values = torch.randn(shape, generator=source, dtype=torch.complex128)
        sized = values.real.sign() * (1 + values.imag.abs().clamp(max=1))
        if (dtype or self.starts[0].dtype).is_complex:
            sized = sized + 0.5j * values
        return sized.to(self.device, dtype or self.starts[0].dtype)

    def build(self, params: Any, **settings: Any) -> Optimizer:
        """An optimizer, in its training mode if it has modes."""
        optimizer = self.make(params, **{**self.settings, **settings})
        train = getattr(optimizer, "train", None)
        if callable(train):
            train()
        return optimizer

    def gradient(self, p: Tensor, seed: int) -> Tensor:
        """Normally distributed numbers in the shape, type and memory layout of `p`."""
        source = torch.Generator().manual_seed(seed)
        wide = torch.complex128 if p.is_complex() else torch.float64
        values = torch.randn(p.shape, generator=source, dtype=wide)
        return torch.empty_like(p, requires_grad=False).copy_(values)

    def gradients(self, params: Sequence[Tensor], at: int) -> dict[Tensor, Tensor]:
        """The gradients of step number `at`, one for each parameter."""
        return {p: self.gradient(p, 100 * at + place) for place, p in enumerate(params)}

    def step(
        self, optimizer: Optimizer, gradients: Gradients, watch: Callable[[], None] | None = None
    ) -> Any:
        """One step with these gradients; None stands for a parameter without.

        `watch` is called when the gradients are set, before the optimizer looks at them.
        """
        self.seed()

        def evaluate() -> Tensor:
            loss = self._evaluate(gradients)
            if watch:
                watch()
            return loss

        if self.needs_closure:
            return optimizer.step(evaluate)  # type: ignore[arg-type]  # PyTorch's says float
        evaluate()
        return optimizer.step()

    def seed(self) -> None:
        """Before every step, so that rules that draw numbers draw the same in twin runs."""
        torch.default_generator.manual_seed(0)  # torch.manual_seed would queue calls for CUDA
        if self.device.type == "cuda":
            torch.cuda.manual_seed_all(0)

    def run(
        self,
        optimizer: Optimizer,
        params: Sequence[Tensor],
        steps: int | None = None,
        first: int = 0,
    ) -> list[Tensor]:
        """Steps from number `first`, `self.steps` unless told; returns the parameters' values."""
        for at in range(first, first + (self.steps if steps is None else steps)):
            self.step(optimizer, self.gradients(params, at))
        return values(params)

    def started(self) -> tuple[Optimizer, list[Tensor]]:
        """An optimizer after its first steps, and its parameters."""
        params: list[Tensor] = list(self.parameters())
        optimizer = self.build(params)
        self.run(optimizer, params)
        return optimizer, params

    def goes_on(self, optimizer: Optimizer, params: Sequence[Tensor]) -> list[Tensor]:
        """Where it goes from there in as many steps."""
        return self.run(optimizer, params, first=self.steps)

    def ends(self, starts: Iterable[Tensor] | None = None, **settings: Any) -> list[Tensor]:
        """Where a fresh optimizer brings fresh parameters."""
        params = self.parameters(starts)
        return self.run(self.build(params, **settings), params)

    def as_taken(self, gradient: Tensor) -> Tensor:
        """The gradient in the layout that the optimizer takes: a sparse tensor's rows, or as is."""
        return gradient.to_sparse(1) if self.sparse and not gradient.is_sparse else gradient

    def _evaluate(self, gradients: Gradients) -> Tensor:
        """Set every parameter's gradient and return a loss.

        Where a search along a line asks for the loss, it is g.p + |p|^2 / 2, which has an end.
        """
        if self.needs_graph:
            return self._differentiated(gradients)
        loss = torch.zeros((), device=self.device, dtype=torch.float64)
        for p, g in gradients.items():
            here = p.detach()
            if g is not None and self.needs_closure:
                g, bowl = here + g, here * here.conj() / 2
                loss = loss + (g.conj() * here - bowl).real.sum().detach()
            # Given a copy: an optimizer that writes to it is to be judged by one law only.
            p.grad = None if g is None else self.as_taken(g.clone())
        return loss

    def _differentiated(self, gradients: Gradients) -> Tensor:
        """The same with autograd: the loss with its graph, the gradients by `backward`."""
        loss = torch.zeros((), device=self.device, dtype=torch.float64)
        for p, g in gradients.items():
            p.grad = None
            if g is not None:
                loss = loss + (g.conj() * p + p * p.conj() / 2).real.sum()
        if loss.requires_grad:
            # The given gradients may have graphs of their own.
            torch.autograd.backward(loss, retain_graph=True)
        return loss


def values(params: Iterable[Tensor]) -> list[Tensor]:
    """Copies of the parameters' values."""
    return [p.detach().clone() for p in params]


def every_parameter(optimizer: Optimizer) -> list[Tensor]:
    """The parameters of all groups, in order."""
    return [p for group in optimizer.param_groups for p in group["params"]]
