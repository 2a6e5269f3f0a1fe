"""Larger batches: each update is made of several times as many examples.

What it changes: a ``DataLoader`` that the script trains through is made with ``factor`` times its
batch size (at most the whole data set). Where the script takes its batches in another way, the
gradients of ``factor`` consecutive updates are averaged and make one update: in between the
optimizer finds no gradient, so that neither parameters nor momentum move. Either way the examples
are the same and the updates are fewer by the factor. Statistics that are taken over a batch (batch
normalization) see the larger one only with a loader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer
from torch.utils.data import DataLoader, IterableDataset

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.leaves import trained_by
from thalweg.recorder.replaced import replace
from thalweg.recorder.session import Session

Gradients = dict[int, torch.Tensor]


@dataclass
class BatchSize(Intervention):
    """Make batches ``factor`` times as large."""

    kind: ClassVar[str] = "batch-size"
    factor: int = 8

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise InterventionError(f"batch-size: factor={self.factor}: give 2 or more")
        self._enlarged: list[DataLoader[Any]] = []
        self._through_loader = self._updating = False
        self._sums: dict[int, Gradients] = {}
        self._own: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def started(self, session: Session) -> None:
        """Make larger loaders from now on, and see which of them training goes through."""
        self._session = session
        self._undo = [
            replace(DataLoader, "__init__", self._constructing(DataLoader.__init__)),
            replace(DataLoader, "__iter__", self._iterating(DataLoader.__iter__)),
        ]

    def finished(self) -> None:
        """Give the loader's methods back."""
        for undo in self._undo:
            undo()

    def _constructing(self, construct: Callable[..., None]) -> Callable[..., None]:
        def constructing(loader: Any, dataset: Any, *args: Any, **kwargs: Any) -> None:
            given = args[0] if args else kwargs.get("batch_size", 1)
            chosen = len(args) > 3 or kwargs.get("batch_sampler") is not None
            size = given if chosen or not given else self._size(given, dataset)
            if size != given:
                args, kwargs = _with_size(size, args, kwargs)
                self._enlarged.append(loader)
            construct(loader, dataset, *args, **kwargs)

        return constructing

    def _size(self, given: int, dataset: Any) -> int:
        """At most as many as there are."""
        if isinstance(dataset, IterableDataset):
            return given * self.factor
        return max(given, min(given * self.factor, len(dataset)))

    def _iterating(self, iterate: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def iterating(loader: Any) -> Any:
            if torch.is_grad_enabled() and any(one is loader for one in self._enlarged):
                self._through_loader = True
            return iterate(loader)

        return iterating

    def before_backward(self, loss: torch.Tensor) -> None:
        """Refuse optimizers that evaluate the loss by themselves."""
        if self._updating and not self._through_loader:
            raise InterventionError(
                "batch-size: the script's optimizer evaluates its loss in a closure, where "
                "gradients of several batches cannot be averaged from outside"
            )

    def gradients(
        self, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
    ) -> Sequence[torch.Tensor | None]:
        """Average the gradients of updates made by hand; in between they are zero."""
        if self._through_loader:
            return gradients
        pairs = list(zip(leaves, gradients, strict=True))
        mean = self._gathered(None, [(x, g) for x, g in pairs if g is not None])
        return [
            None if g is None else torch.zeros_like(g) if mean is None else mean[id(x)]
            for x, g in pairs
        ]

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Give the optimizer the mean of several updates' gradients, or none at all."""
        if optimizer is None or self._through_loader:
            return
        self._updating = True
        self._own = [(p, p.grad) for p in trained_by([optimizer])]
        there = [(p, g) for p, g in self._own if g is not None]
        mean = self._gathered(optimizer, there) or {}
        for parameter, _ in self._own:
            parameter.grad = mean.get(id(parameter))

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Put the script's own gradients back."""
        self._updating = False
        for parameter, gradient in self._own:
            parameter.grad = gradient
        self._own = []

    def _gathered(
        self, optimizer: Optimizer | None, there: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> Gradients | None:
        """Add these gradients up; the mean at every ``factor``-th update, else None."""
        sums = self._sums.setdefault(id(optimizer), {})
        for parameter, gradient in there:
            key, part = id(parameter), gradient.detach() / self.factor
            sums[key] = sums[key] + part if key in sums else part
        if (self._session.step_of(optimizer) + 1) % self.factor:
            return None
        return self._sums.pop(id(optimizer))

    def told(self) -> str:
        """By which of the two ways it was done."""
        how = "by the loader" if self._through_loader else "by averaging consecutive gradients"
        return f"batches {self.factor} times as large, {how}, and as many times fewer updates"

    def name(self) -> str:
        """A few words for a table."""
        return f"batches x {self.factor}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Make batches {self.factor} times as large."

    def edit(self) -> str:
        """A line of code."""
        return f"batch_size={self.factor} * batch_size"


def _with_size(
    size: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The loader's arguments with another batch size, wherever it stands."""
    return ((size, *args[1:]), kwargs) if args else (args, kwargs | {"batch_size": size})
