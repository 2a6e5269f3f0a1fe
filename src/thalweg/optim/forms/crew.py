"""Sharing work among threads that wait for one another only once.

PyTorch runs each operation on all its threads and ends it when the last one is done. On a machine
that does other things too, such as loading data, one thread is late at each of a step's hundreds of
operations. Here each thread takes a piece of the memory through all operations, and then the next;
meanwhile PyTorch is told to run each operation on the thread that asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

_crews: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_crews.clear)  # threads do not live on in a forked process


def share(labour: Callable[[Iterator[int]], None], pieces: int, threads: int) -> None:
    """Do all pieces on several threads, this one among them.

    Args:
        labour: takes the numbers of pieces from an iterator, until there are no more.
        pieces: how many there are.
        threads: how many may work.
    """
    numbers = iter(range(pieces))  # threads may take from one range at the same time
    helpers = min(threads, pieces) - 1
    if helpers <= 0:
        return labour(numbers)
    crew = _crew(helpers)
    others = [crew.submit(_without_grad, labour, numbers) for _ in range(helpers)]
    try:
        labour(numbers)
    finally:
        for other in others:
            if not other.cancel():  # who has not begun has nothing left to do
                other.result()


def _without_grad(labour: Callable[[Iterator[int]], None], numbers: Iterator[int]) -> None:
    with torch.no_grad():  # which is each thread's own
        labour(numbers)


def _crew(size: int) -> ThreadPoolExecutor:
    if size not in _crews:
        crew = _crews[size] = ThreadPoolExecutor(size, "thalweg-optim")
        # Each thread once, and now: what a thread says is also what later threads begin with, until
        # the caller has said again what it was.
        ready = Barrier(size)
        for begun in [crew.submit(_begin, ready) for _ in range(size)]:
            begun.result()
    return _crews[size]


def _begin(ready: Barrier) -> None:
    torch.set_num_threads(1)
    ready.wait()
