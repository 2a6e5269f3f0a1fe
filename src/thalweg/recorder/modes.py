"""The place of our mode on PyTorch's stack of function modes.

A session's mode can be taken off the stack for a while and put back where it was. Unlike
``torch._C.DisableTorchFunction`` this leaves the program's own modes (a default device among them)
and tensor subclasses at work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import DeviceContext

from thalweg.recorder.originals import meant

STACK: Any = torch.overrides  # its functions for the stack of modes have no types
Answer = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
ASKING = frozenset({"torch.nn.modules.transformer", "torch.nn.modules.activation"})


class Answering(TorchFunctionMode):
    """A function mode that lets every call be answered by a function."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if torch.compiler.is_compiling():  # a compiler traces this, too: nothing more for it
            return self._answer(func, args, kwargs or {})
        return self._answer(meant(func), args, kwargs or {})


def take_off(mode: TorchFunctionMode) -> int | None:
    """Take the mode off the stack; the number of modes above it, None if it is not there."""
    above: list[Any] = []
    while STACK._len_torch_function_stack():
        top = STACK._pop_mode()
        if top is mode:
            _push_back(above)
            return len(above)
        above.append(top)
    _push_back(above)
    return None


def put_back(mode: TorchFunctionMode, above: int) -> None:
    """Put the mode back, with this many modes above it."""
    lifted = [STACK._pop_mode() for _ in range(min(above, STACK._len_torch_function_stack()))]
    STACK._push_mode(mode)
    _push_back(lifted)


def take_off_for_long(mode: TorchFunctionMode) -> int:
    """Take the mode off while the program may enter and leave modes of its own.

    Returns:
        How many modes stood below it, for `put_back_after_long`. A default device is not counted:
        PyTorch keeps it at the bottom, whenever it comes.
    """
    above = take_off(mode) or 0
    return int(STACK._len_torch_function_stack()) - above - _devices()


def put_back_after_long(mode: TorchFunctionMode, below: int) -> None:
    """Put the mode back below whatever the program has entered since, as it had been there."""
    here = min(below + _devices(), STACK._len_torch_function_stack())
    put_back(mode, STACK._len_torch_function_stack() - here)


def _devices() -> int:
    """1 if a default device stands at the bottom of the stack, else 0."""
    stack = STACK._get_current_function_mode_stack()
    return int(bool(stack) and isinstance(stack[0], DeviceContext))


def _push_back(lifted: list[Any]) -> None:
    for mode in reversed(lifted):
        STACK._push_mode(mode)


@contextmanager
def without(mode: TorchFunctionMode) -> Iterator[None]:
    """Compute as if the mode were not there."""
    above = take_off(mode)
    try:
        yield
    finally:
        if above is not None:
            put_back(mode, above)


def hide_from_fast_paths(mode: TorchFunctionMode) -> Callable[[], None]:
    """Let transformers take the fast path that they take without the mode; returns the undoing.

    In evaluation, ``nn.TransformerEncoder`` and ``nn.MultiheadAttention`` compute by fused kernels
    unless some function mode is active, and these round differently. They ask
    ``torch.overrides.has_torch_function``, which is made to overlook our mode when they ask. The
    fused kernel is then an ordinary visible call.
    """
    has: Callable[[Any], bool] = STACK.has_torch_function

    def asked(arguments: Any) -> bool:
        if torch.compiler.is_compiling():
            return has(arguments)
        if sys._getframe(1).f_globals.get("__name__") not in ASKING:
            return has(arguments)
        with without(mode):
            return has(arguments)

    STACK.has_torch_function = asked
    return lambda: setattr(STACK, "has_torch_function", has)
