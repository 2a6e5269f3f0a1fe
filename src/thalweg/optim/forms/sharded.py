"""Parameters of which every process holds a part: PyTorch's `DTensor`s, as `fully_shard` makes.

A pointwise rule needs no other process: it steps each process's own part. Any other rule is given
the whole parameter, which is gathered for it; every process computes the same step and keeps its
part. State of the parameter's shape is sharded as the parameter is; state of another shape is
whole in every process. Numbers made of all parameters are reduced over the processes.
"""

from __future__ import annotations

from typing import Any


def is_sharded(x: Any) -> bool:
    """Whether a tensor is a `DTensor`; costs nothing where nobody has imported them."""
    return hasattr(x, "device_mesh")


def local(x: Any) -> Any:
    """This process's part of a sharded tensor; any other tensor is itself."""
    return x.to_local() if is_sharded(x) else x
