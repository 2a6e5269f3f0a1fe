"""A class of a method: `method_class("LBFGS", method, ...)`."""

from __future__ import annotations

import inspect
from typing import Any

from thalweg.minimize.optimizers.method import Method
from thalweg.minimize.optimizers.optimizer import MethodOptimizer

OTHERS = ("model", "loss", "likelihood", "certify")


def method_class(name: str, method: Method, doc: str) -> type[MethodOptimizer]:
    """Make an optimizer class of a method.

    Args:
        name: of the class.
        method: its direction and its settings.
        doc: the class's docstring.
    """
    body: dict[str, Any] = {
        "method": method,
        "__doc__": doc,
        "__module__": "thalweg.minimize",
        "__signature__": signature(method),
    }
    return type(name, (MethodOptimizer,), body)


def signature(method: Method) -> inspect.Signature:
    """What `help` and editors show."""
    placed, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            inspect.Parameter("params", placed),
            *(inspect.Parameter(k, placed, default=v) for k, v in method.settings.items()),
            *(inspect.Parameter(k, named, default=None) for k in OTHERS),
        ]
    )
