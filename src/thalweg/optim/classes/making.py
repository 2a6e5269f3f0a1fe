"""A class of a rule: `optimizer_class("Adam", rule, ...)`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.optim.optimizer import RuleOptimizer
from thalweg.optim.options import Options
from thalweg.optim.rule import Rule

# What PyTorch's loader wants in a group of most optimizers; here `form` decides.
FLAGS: Mapping[str, Any] = {"foreach": None, "differentiable": False, "fused": None}


def optimizer_class(
    name: str,
    rule: Rule,
    order: Sequence[str] = ("lr",),
    *,
    flags: Mapping[str, Any] = FLAGS,
    fixed: Mapping[str, Any] = {},
    doc: str = "",
    module: str | None = None,
    base: type[RuleOptimizer] = RuleOptimizer,
    **defaults: Any,
) -> type[RuleOptimizer]:
    """Make an optimizer class of a rule.

    Args:
        name: of the class.
        rule: its formula, with all wrappers.
        order: hyperparameters and flags that may be given by position, in order.
        flags: keys that PyTorch's loader wants in a group and that are carried along.
        fixed: hyperparameters that make the class what it is and cannot be given.
        doc: the class's docstring; the rule's own if empty.
        module: where the class will be found, for pickling; the caller's module if None.
        base: what the class inherits, where it can do more than step.
        defaults: hyperparameters whose default is not the rule's.
    """
    settings = {**rule.settings(**defaults), **fixed}
    caller = inspect.stack()[1].frame.f_globals["__name__"] if module is None else module
    body = {
        "rule": rule,
        "order": tuple(order),
        "standard": {**settings, **flags},
        "fixed": dict(fixed),
        "__doc__": doc or rule.doc,
        "__module__": caller,
        "__signature__": _signature(
            settings, order, {**flags, "form": "auto", **Options.defaults()}, fixed
        ),
    }
    return type(name, (base,), body)


def _signature(
    settings: Mapping[str, Any],
    order: Sequence[str],
    flags: Mapping[str, Any],
    fixed: Mapping[str, Any],
) -> inspect.Signature:
    """What `help` and editors show."""
    placed, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    known = {**settings, **flags}
    rest = {k: v for k, v in known.items() if k not in (*order, *fixed)}
    return inspect.Signature(
        [
            inspect.Parameter("params", placed),
            *(inspect.Parameter(k, placed, default=known[k]) for k in order),
            *(inspect.Parameter(k, named, default=v) for k, v in rest.items()),
        ]
    )
