"""The random state of a program: taken, begun from again, and put back.

Evaluating a loss may draw random numbers (dropout, augmentation in a loader). Curvature needs the
same draws at every evaluation, and the program must not notice that any were made.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

CUDA: Any = torch.cuda  # its functions have no types


@final
@dataclass(frozen=True, slots=True)
class RandomState:
    """The states of PyTorch's, Python's and NumPy's global generators, and of some others.

    Attributes:
        cpu: of the CPU's global generator.
        cuda: devices, each with the state of its global generator.
        python: `random.getstate()`.
        numpy: `numpy.random.get_state()`.
        own: generators that the program made for itself, each with its state.
    """

    cpu: Tensor
    cuda: tuple[tuple[torch.device, Tensor], ...]
    python: Any
    numpy: Any
    own: tuple[tuple[torch.Generator, Tensor], ...]

    @classmethod
    def now(
        cls, devices: Iterable[torch.device] = (), generators: Iterable[torch.Generator] = ()
    ) -> RandomState:
        """The states as they are, with those of these CUDA devices and generators."""
        return cls(
            cpu=torch.get_rng_state(),
            cuda=tuple((device, CUDA.get_rng_state(device)) for device in devices),
            python=random.getstate(),
            numpy=np.random.get_state(),
            own=tuple((one, one.get_state()) for one in generators),
        )

    def again(self) -> RandomState:
        """The states of the same generators as they are now."""
        return RandomState.now((device for device, _ in self.cuda), (one for one, _ in self.own))

    def restore(self) -> None:
        """Put every generator into the state noted here."""
        torch.set_rng_state(self.cpu)
        for device, state in self.cuda:
            CUDA.set_rng_state(state, device)
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        for generator, state in self.own:
            generator.set_state(state)

    @contextmanager
    def resumed(self, stream: int = 0) -> Iterator[None]:
        """Draw from this state on; afterwards the generators stand where they stood before.

        Args:
            stream: 0 for this state itself; other numbers give other draws, each the same ones
                every time.
        """
        before = self.again()
        self.restore()
        if stream:
            self._seed(stream)
        try:
            yield
        finally:
            before.restore()

    def _seed(self, stream: int) -> None:
        seed = digest(self.cpu, stream)
        torch.default_generator.manual_seed(seed)
        for device, _ in self.cuda:
            CUDA.default_generators[device.index or 0].manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        for generator, _ in self.own:
            generator.manual_seed(seed)


def digest(state: Tensor, stream: int) -> int:
    """A seed below 2^63 for a stream of draws that begins at `state`."""
    data = state.numpy().tobytes() + stream.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") >> 1
