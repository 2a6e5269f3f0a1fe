"""What PyTorch means by a function that it looks up by name, where the program has replaced it.

A function of PyTorch that is written in Python hands itself to the function modes, and finds itself
by its public name: ``torch.Tensor.backward``, ``F.cross_entropy``. Where the program put a wrapper
of its own under that name, the wrapper comes back from inside the function that it wraps, and would
be entered twice. The function that asked is known by its code.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import torch

_HANDING: CodeType = torch.overrides.handle_torch_function.__code__
_TORCH = os.path.join(os.path.dirname(os.path.abspath(torch.__file__)), "")

_known: dict[CodeType, Callable[..., Any] | None] = {
    one.__code__: one
    for owner in (torch.Tensor, torch.nn.functional, torch.functional, torch.nn.init)
    for one in vars(owner).values()
    if type(one) is FunctionType and one.__code__.co_filename.startswith(_TORCH)
}


def meant(func: Callable[..., Any]) -> Callable[..., Any]:
    """``func``, or the function of PyTorch that handed it over in its own name.

    To be asked by a function mode right in its ``__torch_function__``.
    """
    if type(func) is not FunctionType or func.__code__.co_filename.startswith(_TORCH):
        return func
    handing = sys._getframe(2)
    if handing.f_code is not _HANDING or handing.f_back is None:
        return func
    return _function_of(handing.f_back.f_code) or func


def _function_of(code: CodeType) -> Callable[..., Any] | None:
    """The function that has this code; None if it cannot be found."""
    if code not in _known:  # it was replaced before this module was imported
        found = [one for one in gc.get_referrers(code) if type(one) is FunctionType]
        _known[code] = next((one for one in found if one.__code__ is code), None)
    return _known[code]
