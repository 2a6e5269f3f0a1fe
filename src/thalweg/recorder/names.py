"""Names of parameters, as the script's author would say them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

import torch
from torch import nn


def names_of(leaves: Sequence[torch.Tensor]) -> list[str]:
    """A name for each leaf: by its module, by the script's variable, else by its shape."""
    known = _variable_names() | _module_names(leaves)
    return [known.get(id(leaf), f"tensor{list(leaf.shape)}") for leaf in leaves]


def _variable_names() -> dict[int, str]:
    """Tensors among the global variables of the script."""
    variables = vars(sys.modules["__main__"])
    return {id(v): k for k, v in list(variables.items()) if isinstance(v, torch.Tensor)}


def _module_names(leaves: Sequence[torch.Tensor]) -> dict[int, str]:
    """Names within the largest module that holds each leaf."""
    wanted = {id(leaf) for leaf in leaves}
    modules = [one for one in _modules() if not isinstance(one, nn.ParameterList)]
    tables = [dict(one.named_parameters()) for one in modules]
    found: dict[int, str] = {}
    for _, table in sorted(enumerate(tables), key=lambda pair: len(pair[1])):
        found |= {id(p): name for name, p in table.items() if id(p) in wanted}
    return found


def _modules() -> list[nn.Module]:
    """Every module that lives, found through the collector: the script gives us none."""
    return [one for one in gc.get_objects() if _is_module(one)]


def _is_module(one: object) -> bool:
    return issubclass(type(one), nn.Module) and "_parameters" in vars(one)
