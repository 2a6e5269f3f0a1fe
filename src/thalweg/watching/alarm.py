"""What is checked at every step, and what is done when something breaks.

loss        whether it is finite: on a CPU at once, on an accelerator in lots, since reading a
            value there makes the program wait
gradient    one small gradient far from the loss, to which whatever is not finite spreads down;
            all of them only if that one is bad. As often as a share of a step's time allows
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from thalweg.recorder import Session
from thalweg.watching.good_state import how_to_load, is_good, save, state_of
from thalweg.watching.pace import SAVING, Pace
from thalweg.watching.roots import roots_of
from thalweg.watching.structure import Structure
from thalweg.watching.trouble import TrainingBroke, Trouble, of_exception, of_gradient, of_loss

CHECKED = 16  # losses on an accelerator that are read together
GUARDING = 0.01  # share of a step that looking at its gradient may take
STATE = "last-good.pt"


class Alarm:
    """Notices the first thing that breaks, and keeps the last good state.

    Args:
        session: Whose steps these are.
        pace: What looking and saving may cost.
        folder: Where the state goes.
        stop: Whether to raise `TrainingBroke`.
        hear: Called with the trouble.

    Attributes:
        trouble: The first thing that broke.
        structure: The forward pass of the latest step in full.
    """

    def __init__(
        self, session: Session, pace: Pace, folder: Path, stop: bool,
        hear: Callable[[Trouble], None],
    ) -> None:  # fmt: skip
        self.trouble: Trouble | None = None
        self.structure = Structure()
        self._session, self._pace = session, pace
        self._path, self._stop, self._hear = folder / STATE, stop, hear
        self._roots: list[nn.Module] | None = None
        self._guarded: torch.Tensor | None = None
        self._every = self._until = 1
        self._lot: list[tuple[int, torch.Tensor]] = []
        self._saved: int | None = None

    @property
    def roots(self) -> list[nn.Module]:
        """The program's models."""
        if not self._roots:
            known = self._session.optimizers or self._session.candidates
            params = [p for o in known for g in o.param_groups for p in g["params"]]
            self._roots = roots_of(params)
        return self._roots

    def check_loss(self, loss: torch.Tensor) -> float | None:
        """See whether a loss is finite; its value where that can be had without waiting."""
        if not loss.is_cpu:
            self._lot.append((self._session.step, loss.detach()))
            if len(self._lot) >= CHECKED:
                self.check_lot()
            return None
        value = abs(loss.item()) if loss.is_complex() else loss.item()
        if not math.isfinite(value) and self.trouble is None:
            self._break(of_loss(loss, self._session.step, self.structure, self.roots))
        return float(value)

    def check_lot(self) -> None:
        """Read the losses that have gathered."""
        if not self._lot:
            return
        values = torch.stack([one.float().reshape(()) for _, one in self._lot]).tolist()
        steps = [step for step, _ in self._lot]
        self._lot.clear()
        at = next((i for i, value in enumerate(values) if not math.isfinite(value)), None)
        if at is not None and self.trouble is None:
            self._break(Trouble("loss", steps[at], f"The loss is {values[at]:g}."))

    def is_time(self) -> bool:
        """Whether the gradient of this update is to be looked at."""
        self._until -= 1
        return self._until <= 0 and self.trouble is None

    def check_gradient(self) -> None:
        """See whether the gradient that an update is about to use is finite."""
        self._until, begun = self._every, self._pace.now()
        if self._guarded is None or self._guarded.grad is None:
            self._guarded = _guard(self._session.optimizers)
        gradient = None if self._guarded is None else self._guarded.grad
        if gradient is not None and not math.isfinite(_total(gradient)):
            optimizers, step = self._session.optimizers, self._session.step
            found = of_gradient(optimizers, step, self.structure, self.roots)
            if found is not None:
                self._break(found)
        plain = (self._pace.elapsed - self._pace.own) / max(self._session.step, 1)
        allowed = GUARDING * plain
        self._every = max(1, math.ceil((self._pace.now() - begun) / max(allowed, 1e-9)))

    def raised(self, error: BaseException) -> None:
        """The program raised this."""
        if self.trouble is None and not isinstance(error, TrainingBroke):
            self._stop = False
            self._break(of_exception(error, self._session.step, self.roots))

    def keep_state(self) -> None:
        """Write the state to disk, if it is good and the pace affords that."""
        if self.trouble is None and self._pace.affords(SAVING):
            begun = self._pace.now()
            self._keep()
            self._pace.charge(SAVING, self._pace.now() - begun)

    def close(self) -> None:
        """Check what is left; nothing is stopped any more."""
        self._stop = False
        self.check_lot()

    def _keep(self) -> None:
        optimizers = self._session.optimizers
        with torch.no_grad():
            if optimizers and is_good(optimizers):
                save(self._path, state_of(self._session.step, self.roots, optimizers))
                self._saved = self._session.step

    def _break(self, trouble: Trouble) -> None:
        """Keep what is still good, tell, and stop if that was asked for."""
        self.trouble = trouble
        self._keep()
        if self._saved is not None:
            trouble.state, trouble.state_step = str(self._path), self._saved
            trouble.load = how_to_load(self._path, len(self.roots), len(self._session.optimizers))
        self._hear(trouble)
        if self._stop:
            raise TrainingBroke(f"step {trouble.step}: {trouble.says}")


def _total(gradient: torch.Tensor) -> float:
    """The sum; of half precision, which could overflow, in single."""
    if gradient.dtype in (torch.float32, torch.float64):
        return gradient.sum().item()
    return gradient.abs().sum(dtype=torch.float32).item()  # of complex numbers, their sizes


def _guard(optimizers: Sequence[Optimizer]) -> torch.Tensor | None:
    """The smaller one of the first two parameters that have a gradient."""
    params = (p for o in optimizers for g in o.param_groups for p in g["params"])
    there = [p for p in params if p.grad is not None and not p.grad.is_sparse]
    return min(there[:2], key=torch.Tensor.numel, default=None)
