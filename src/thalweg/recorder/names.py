"""Names of parameters, as the script's author would say them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

import torch
from torch import nn


class Names:
    """The names of tensors; looked up rarely, since looking goes through every living object."""

    def __init__(self) -> None:
        self._leaves: dict[int, torch.Tensor] = {}  # held, so that identities stay their own
        self._others: dict[int, torch.Tensor] = {}
        self._names: dict[int, str] = {}

    @property
    def leaves(self) -> list[torch.Tensor]:
        """Every leaf that was added, in order."""
        return list(self._leaves.values())

    def add(self, leaves: Sequence[torch.Tensor], others: Sequence[torch.Tensor] = ()) -> None:
        """Remember these as parameters of the program, and others that may be asked for later."""
        self._leaves |= {id(leaf): leaf for leaf in leaves}
        self._others |= {id(other): other for other in others}
        known = self._leaves | self._others
        if any(key not in self._names for key in known):
            found = names_of(list(known.values()))
            self._names |= dict(zip(known, found, strict=True))

    def of(self, tensors: Sequence[torch.Tensor]) -> list[str]:
        """A name for each tensor."""
        return [self._names.get(id(one)) or by_shape(one) for one in tensors]


def by_shape(leaf: torch.Tensor) -> str:
    """What a leaf is called that has no name."""
    return f"tensor{list(leaf.shape)}"


def names_of(leaves: Sequence[torch.Tensor]) -> list[str]:
    """A name for each leaf: by its module, by the script's variable, else by its shape."""
    known = _variable_names() | _module_names(leaves)
    return [known.get(id(leaf)) or by_shape(leaf) for leaf in leaves]


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
