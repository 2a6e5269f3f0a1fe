"""Parameters as they were: copies that nobody writes to, so that many operators can share them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor


class Snapshot(dict[str, Tensor]):
    """Names to copies of tensors, which are never written to."""

    @classmethod
    def of(cls, params: Mapping[str, Tensor]) -> Snapshot:
        """A snapshot of `params`; of a snapshot, itself."""
        if isinstance(params, Snapshot):
            return params
        with torch.inference_mode(False):  # what is made in inference mode has no derivatives
            return cls({name: whole(p).detach().clone() for name, p in params.items()})

    def variables(self) -> dict[str, Tensor]:
        """The same numbers, in the same memory, each as the beginning of a graph of its own."""
        return {name: p.detach().requires_grad_() for name, p in self.items()}


@final
class Live(Snapshot):
    """A program's own parameters, for a loss that the program computes with them and no others.

    An operator of them holds as long as they have the values that they had when it was made.
    """

    def variables(self) -> dict[str, Tensor]:
        """The parameters themselves."""
        return dict(self)


def whole(tensor: Tensor) -> Tensor:
    """The tensor; gathered from all ranks if it is sharded over them (a DTensor)."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()
