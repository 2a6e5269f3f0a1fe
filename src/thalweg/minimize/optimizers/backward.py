"""What a closure calls `backward` on, kept instead of differentiated.

A closure by PyTorch's convention calls `loss.backward()` itself, which frees the graph that second
derivatives need. While this mode is active the call differentiates nothing: what it was called on
is added up, and the sum has the gradient that the closure's calls would have left in `p.grad`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CALLS = (torch.Tensor.backward, torch.autograd.backward)


@final
class KeptBackward(TorchFunctionMode):
    """Notes the calls of `backward` while it is the mode.

    Attributes:
        total: of what was differentiated, a scalar with its graph; None if nothing was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total: Tensor | None = None

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one function, or note a call of `backward`."""
        if func in CALLS:
            self._note(*args, **(kwargs or {}))
            return None
        return func(*args, **(kwargs or {}))

    def _note(self, roots: Any, seeds: Any = None, *_: Any, **named: Any) -> None:
        seeds = next((named[name] for name in ("gradient", "grad_tensors") if name in named), seeds)
        roots = [roots] if isinstance(roots, Tensor) else list(roots)
        seeds = [seeds] * len(roots) if seeds is None or isinstance(seeds, Tensor) else list(seeds)
        for root, seed in zip(roots, seeds, strict=True):
            part = root.reshape(()) if seed is None else (root * seed).sum()
            self.total = part if self.total is None else self.total + part
