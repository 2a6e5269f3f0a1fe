"""The outermost calls of modules: what a program asks of its networks as wholes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from thalweg.recorder.replaced import replace

Tell = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any]], None]


def watch_outermost(tell: Tell) -> Callable[[], None]:
    """Tell of every call of a module that no other module makes, before it is computed.

    Global hooks are not given keyword arguments, and a hook on the module itself would be copied
    and pickled with it.

    Returns:
        the undoing.
    """
    compute: Callable[..., Any] = nn.Module._call_impl
    inside = 0

    @functools.wraps(compute)
    def calling(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        if not inside:
            tell(module, args, kwargs)
        inside += 1
        try:
            return compute(module, *args, **kwargs)
        finally:
            inside -= 1

    return replace(nn.Module, "_call_impl", calling)
