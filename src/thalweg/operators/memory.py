"""How much memory operators may keep, and how much a graph keeps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SHARE = 0.25  # of what is free; the rest is for the program, the basis of Lanczos, and one batch
UNKNOWN = 2 << 30  # bytes taken to be free where the system does not say
CGROUP = Path("/sys/fs/cgroup")


def budget(device: torch.device) -> float:
    """Bytes that graphs may keep unless the user says: a quarter of what is free on `device`."""
    return SHARE * free_bytes(device)


def free_bytes(device: torch.device) -> int:
    """Free memory of a device, in bytes; on the CPU what the machine and the container leave."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([*machine_bytes(), *container_bytes()], default=UNKNOWN)


def machine_bytes() -> Iterator[int]:
    """Free pages of the machine, on systems that count them."""
    try:
        yield os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return


def container_bytes(folder: Path = CGROUP) -> Iterator[int]:
    """What the control group that we run in may still take, where it has a limit."""
    try:
        limit = int((folder / "memory.max").read_text())
        yield max(0, limit - int((folder / "memory.current").read_text()))
    except (OSError, ValueError):
        return


def graph_bytes(ends: Iterable[Tensor], without: Iterable[Tensor] = ()) -> int:
    """Bytes of the tensors that the graph ending in `ends` keeps, memory that is shared once.

    Args:
        ends: the graph's results, which count too.
        without: tensors that are kept anyway (parameters).
    """
    ends = list(ends)
    anyway = {one.untyped_storage().data_ptr() for one in without}
    kept: dict[int, int] = {}
    for tensor in (*ends, *saved_tensors(ends)):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
    return sum(size for place, size in kept.items() if place not in anyway)


def saved_tensors(ends: Iterable[Tensor]) -> Iterator[Tensor]:
    """What every node of the graph that ends in `ends` saved for its derivative."""
    waiting = [end.grad_fn for end in ends if end.grad_fn is not None]
    seen: set[Any] = set(waiting)
    while waiting:
        node = waiting.pop()
        yield from saved_by(node)
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)


def saved_by(node: Any) -> Iterator[Tensor]:
    """What one node saved, be it PyTorch's or a custom function's."""
    for name in saved_names(node.__class__):
        found = getattr(node, name)
        for one in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(one, Tensor):
                yield one


@cache
def saved_names(kind: type) -> tuple[str, ...]:
    """The attributes of a kind of node that hold what it saved."""
    return tuple(
        name
        for name in dir(kind)
        if name == "saved_tensors" or (name.startswith("_saved_") and not name.endswith("_"))
    )
