"""What `load_state_dict` makes of a saved state.

A method's state is about all parameters together and has types of its own; PyTorch files it under
the first parameter, and its loader would cast it to that parameter's type. So the loader's result
is replaced by what was saved.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.minimize.optimizers.parameters import real
from thalweg.operators import Layout

Saved = dict[str, Any]


def load(
    optimizer: torch.optim.Optimizer, load_as_torch: Callable[[Saved], None], saved: Saved
) -> Saved | None:
    """Load a saved state with PyTorch's loader, and hand back a copy of the method's own state.

    Args:
        optimizer: into which.
        load_as_torch: PyTorch's `load_state_dict`.
        saved: a state dict of such an optimizer.

    Returns:
        What `Running` packed; None if there was no step before it was saved.

    Raises:
        ValueError: the state is another optimizer's, or of other parameters.
    """
    found: Saved = {}

    # PyTorch runs this after the user's own hooks, which may change what is loaded.
    def look(_: torch.optim.Optimizer, state_dict: Saved) -> None:
        found.update(state_dict)
        refuse_others(optimizer, state_dict)

    handle = optimizer.register_load_state_dict_pre_hook(look)
    try:
        load_as_torch(saved)
    finally:
        handle.remove()
    return copy.deepcopy(next(iter(found["state"].values()), None))


def refuse_others(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Raise ValueError for a state that does not belong to this optimizer or its parameters."""
    call = f"{type(optimizer).__name__}.load_state_dict(...)"
    own = next(iter(saved["state"].values()), None)
    if own is not None and own.get("method") != type(optimizer).__name__:
        raise ValueError(
            f"{call}: the state is not one of {type(optimizer).__name__}; what one method learned "
            "says nothing to another. Begin without it."
        )
    sizes = [real(p.detach()).numel() for p in leaves_of(optimizer)]
    if own is not None and own["sizes"] != sizes:
        raise ValueError(
            f"{call}: the state is of parameters of {own['sizes']} numbers; those that require a "
            f"gradient here have {sizes}."
        )
    names, theirs = (names_of(groups) for groups in (optimizer.param_groups, saved["param_groups"]))
    if names and theirs and names != theirs:
        raise ValueError(
            f"{call}: the parameters are not in the order in which they were saved, {theirs}. Give "
            "them in that order: the state is one of all parameters together."
        )


def leaves_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters that require gradients, each once."""
    params = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    return list(dict.fromkeys(params))


def names_of(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of all parameters, where they were given."""
    return [name for group in groups for name in group.get("param_names", ())]


def placed(state: Any, layout: Layout) -> Any:
    """The state as it was before it went through a file, which may have changed devices.

    Vectors of n numbers, alone or as rows, lie with the flat parameters; the blocks of Kronecker
    factors (`operators.factor_state`) with the parameters that they are of. What is smaller stays.
    """
    if isinstance(state, Mapping):
        if "tensors" in state:
            device = dict(zip(layout.names, layout.devices, strict=True))[state["names"][0]]
            tensors = {name: x.to(device) if x.dim() else x for name, x in state["tensors"].items()}
            return {**state, "tensors": tensors}
        return {key: placed(value, layout) for key, value in state.items()}
    if isinstance(state, list):
        return [placed(each, layout) for each in state]
    if isinstance(state, Tensor) and state.is_floating_point():
        return state.to(layout.device) if state.shape[-1:] == (layout.size,) else state
    return state
