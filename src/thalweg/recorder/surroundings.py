"""What a call finds around it that its arguments do not show: random state and autocast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

CUDA: Any = torch.cuda  # its functions have no types


@dataclass(frozen=True, slots=True)
class RandomState:
    """The state of every generator that a call may draw from.

    Attributes:
        cpu: Of the CPU's global generator.
        cuda: Of each GPU's, if the program has used one.
        own: Of the generators that the program made and handed over.
    """

    cpu: torch.Tensor
    cuda: tuple[torch.Tensor, ...]
    own: tuple[tuple[torch.Generator, torch.Tensor], ...]

    @classmethod
    def now(cls, generators: Iterable[torch.Generator] = ()) -> RandomState:
        """The state as it is."""
        on_gpus = CUDA.get_rng_state_all() if CUDA.is_initialized() else []
        own = tuple((one, one.get_state()) for one in generators)
        return cls(torch.get_rng_state(), tuple(on_gpus), own)

    def restore(self) -> None:
        """Put every generator back."""
        torch.set_rng_state(self.cpu)
        if self.cuda:
            CUDA.set_rng_state_all(self.cuda)
        for generator, state in self.own:
            generator.set_state(state)

    def still(self) -> bool:
        """Whether nothing has been drawn since."""
        now = RandomState.now([generator for generator, _ in self.own])
        pairs = zip(self._states(), now._states(), strict=True)
        return all(torch.equal(before, after) for before, after in pairs)

    def _states(self) -> list[torch.Tensor]:
        return [self.cpu, *self.cuda, *(state for _, state in self.own)]


Autocast = tuple[tuple[str, bool, torch.dtype], ...]


def autocast_now() -> Autocast:
    """Device type, whether autocast is on for it, and its type."""
    kinds = ("cpu", "cuda") if CUDA.is_initialized() else ("cpu",)
    return tuple(
        (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds
    )


@contextmanager
def autocast_as(wanted: Autocast) -> Iterator[None]:
    """Compute under this autocast state."""
    if wanted == autocast_now():
        yield
        return
    with ExitStack() as around:
        for kind, enabled, dtype in wanted:
            around.enter_context(torch.autocast(kind, dtype=dtype, enabled=enabled))
        yield
