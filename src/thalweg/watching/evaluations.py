"""Blocks without gradients, which is where programs evaluate: told of as they begin and end.

``torch.no_grad`` and ``torch.inference_mode`` are told of by the outermost block alone, and not at
all while nothing asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from thalweg.recorder.replaced import replace

BLOCKS = (torch.no_grad, torch.inference_mode)


class _Outermost:
    """Follows how deep the program is in such blocks since one was wanted."""

    def __init__(self, begins: Callable[[], bool], ends: Callable[[], None]) -> None:
        self._begins, self._ends, self._depth = begins, ends, 0

    def entering(self) -> None:
        if self._depth or self._begins():
            self._depth += 1

    def leaving(self) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth:
                self._ends()


def watch_evaluations(begins: Callable[[], bool], ends: Callable[[], None]) -> ExitStack:
    """Tell of blocks without gradients.

    Args:
        begins: Called before the outermost block; whether its end, too, is to be told.
        ends: Called after it.

    Returns:
        What undoes it when it is closed.
    """
    outermost, undoing = _Outermost(begins, ends), ExitStack()
    for block in BLOCKS:
        undoing.callback(replace(block, "__enter__", _entering(block.__enter__, outermost)))
        undoing.callback(replace(block, "__exit__", _leaving(block.__exit__, outermost)))
    return undoing


def _entering(enter: Callable[..., Any], outermost: _Outermost) -> Callable[..., Any]:
    def entering(block: Any) -> Any:
        outermost.entering()
        return enter(block)

    return entering


def _leaving(leave: Callable[..., Any], outermost: _Outermost) -> Callable[..., Any]:
    def leaving(block: Any, *error: Any) -> Any:
        try:
            return leave(block, *error)
        finally:
            outermost.leaving()

    return leaving
