"""Averages of the iterates, kept beside any `torch.optim.Optimizer` by a hook on its step.

    average = PolyakAverage(optimizer, start=1000)
    ...                                                # train as ever
    with averaged(average):
        evaluate(model)

With a learning rate that does not fall, iterates wander around the minimum; their mean does not.

    a_n = a_(n-1) + w_n (p_n - a_(n-1))        w_1 = 1

with p_n the n-th iterate that is averaged. Polyak's average and stochastic weight averaging (SWA)
weight all iterates alike, w_n = 1 / n; SWA takes one in `every`, as a rule one an epoch or a cycle
of the learning rate. The exponential average forgets, w_n = 1 - decay.

Averages of half-precision parameters are kept in float32, or small weights would be rounded away.
Where a parameter comes late (`add_param_group`), its average starts when it comes.

Reference: Polyak & Juditsky (1992); Izmailov, Podoprikhin, Garipov, Vetrov & Wilson (2018),
arXiv 1803.05407, algorithm 1; Kingma & Ba (2015), section 7.2, for the corrected exponential one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.optim.hyperparameters import nearest

BEGINNINGS = ("first", "corrected", "warm-up")


class Average:
    """Keeps an average of an optimizer's parameters; a subclass says how it weights them.

    Args:
        optimizer: whose parameters are averaged, after each of its steps.
        start: the first step whose result is averaged, counted from 1.
        every: averages one step in so many from there on.
        model: if given, its buffers of floating point (batch norm's statistics) are averaged too.

    Raises:
        ValueError: `start` or `every` below 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        start: int = 1,
        every: int = 1,
        model: torch.nn.Module | None = None,
    ) -> None:
        if start < 1 or every < 1:
            raise ValueError(
                f"{type(self).__name__}(start={start}, every={every}): both count steps from 1."
            )
        self.optimizer, self.model = optimizer, model
        self.start, self.every, self.steps = start, every, 0
        self.values: dict[Tensor, Tensor] = {}
        self.counts: dict[Tensor, int] = {}  # how many iterates each average is made of
        self._hook = optimizer.register_step_post_hook(lambda *_: self.update())

    def weight(self, n: int) -> float:
        """The share of the n-th iterate in the average up to it; 1 for the first."""
        raise NotImplementedError

    def update(self) -> None:
        """Count a step and take the parameters in; called after each step of the optimizer."""
        self.steps += 1
        if self.steps >= self.start and (self.steps - self.start) % self.every == 0:
            self._take()

    def averages(self) -> list[tuple[Tensor, Tensor]]:
        """Every tensor that is averaged, with its average; empty before the first step to count."""
        return [(x, self.values[x]) for x in self._tensors() if x in self.values]

    def detach(self) -> None:
        """Stop following the optimizer; the average stays as it is."""
        self._hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, by the tensors' places in the optimizer and the model."""
        at = [(i, x) for i, x in enumerate(self._tensors()) if x in self.values]
        return {
            "steps": self.steps,
            "counts": {i: self.counts[x] for i, x in at},
            "values": {i: self.values[x] for i, x in at},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that was saved.

        Raises:
            ValueError: it was saved for other parameters.
        """
        tensors = dict(enumerate(self._tensors()))
        for i, value in state["values"].items():
            if i not in tensors or tensors[i].shape != value.shape:
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: no tensor at place {i} has the shape "
                    f"{tuple(value.shape)}. Give the optimizer (and model=) as when it was saved."
                )
        self.steps = state["steps"]
        self.counts = {tensors[i]: count for i, count in state["counts"].items()}
        self.values = {
            tensors[i]: value.to(tensors[i].device, copy=True)
            for i, value in state["values"].items()
        }

    def _tensors(self) -> Iterator[Tensor]:
        for group in self.optimizer.param_groups:
            yield from group["params"]
        buffers = self.model.buffers() if self.model else ()
        yield from (b for b in buffers if b.is_floating_point() or b.is_complex())

    @torch.no_grad()
    def _take(self) -> None:
        alike: dict[int, list[Tensor]] = {}
        for x in self._tensors():
            self.counts[x] = self.counts.get(x, 0) + 1
            alike.setdefault(self.counts[x], []).append(x)
        for n, tensors in alike.items():
            if n == 1:
                self.values |= {x: x.detach().to(_kept_in(x.dtype), copy=True) for x in tensors}
            else:
                values = [self.values[x] for x in tensors]
                news = [x.to(v.dtype) for x, v in zip(tensors, values, strict=True)]
                torch._foreach_lerp_(values, news, self.weight(n))


def _kept_in(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


class PolyakAverage(Average):
    """The mean of all iterates from the step `start` on."""

    def __init__(
        self, optimizer: Optimizer, start: int = 1, *, model: torch.nn.Module | None = None
    ) -> None:
        super().__init__(optimizer, start=start, model=model)

    def weight(self, n: int) -> float:
        """All alike."""
        return 1 / n


class StochasticWeightAverage(Average):
    """The mean of one iterate in `every` from the step `start` on."""

    def __init__(
        self,
        optimizer: Optimizer,
        start: int,
        every: int,
        *,
        model: torch.nn.Module | None = None,
    ) -> None:
        super().__init__(optimizer, start=start, every=every, model=model)

    def weight(self, n: int) -> float:
        """All alike."""
        return 1 / n


class ExponentialAverage(Average):
    """An average that forgets: an iterate that is n steps old counts decay^n as much.

    Args:
        optimizer: whose parameters are averaged.
        decay: in [0, 1).
        beginning: what there is before there is a past. "first": the average starts at the first
            iterate, which keeps its weight for long (PyTorch's `get_ema_avg_fn`). "corrected":
            starts at zero, divided by 1 - decay^n (Adam's correction). "warm-up": starts at the
            first iterate, and the m-th update decays by no more than (1 + m) / (10 + m)
            (TensorFlow's).
        start: the first step whose result is averaged, counted from 1.
        every: averages one step in so many from there on.
        model: if given, its buffers of floating point are averaged too.

    Raises:
        ValueError: a decay outside [0, 1), or an unknown beginning.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay: float = 0.999,
        *,
        beginning: str = "first",
        start: int = 1,
        every: int = 1,
        model: torch.nn.Module | None = None,
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ExponentialAverage(decay={decay}): the decay must be in [0, 1).")
        if beginning not in BEGINNINGS:
            raise ValueError(
                f"ExponentialAverage(beginning={beginning!r}): no such beginning. "
                f"{nearest(beginning, BEGINNINGS)}"
            )
        super().__init__(optimizer, start=start, every=every, model=model)
        self.decay, self.beginning = decay, beginning

    def weight(self, n: int) -> float:
        """What the newest iterate counts."""
        if self.beginning == "corrected":
            return (1 - self.decay) / (1 - self.decay**n)
        return 1 - (min(self.decay, n / (9 + n)) if self.beginning == "warm-up" else self.decay)
