"""What `load_state_dict` makes of a saved state, beyond what PyTorch makes of it.

Types: PyTorch casts all state to its parameter's type, so that moments kept in float32 lose their
digits with a bfloat16 model, and numbers kept on the CPU wander to the parameter's device. Here
everything keeps the type that it was saved with. (The count `step` is PyTorch's affair.)

Names: where both sides know their parameters' names, state goes by name. The same parameters may
come in another order or in other groups; settings go by the group's position, as in PyTorch.

Shapes: state that must have its parameter's shape and does not is refused before anything changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.rule import Rule

Saved = dict[str, Any]
Group = Mapping[str, Any]


def load(
    optimizer: torch.optim.Optimizer, rule: Rule, load_as_torch: Callable[[Saved], None], saved: Any
) -> None:
    """Load a saved state with PyTorch's loader, by name where there are names, types kept.

    Args:
        optimizer: into which.
        rule: the optimizer's.
        load_as_torch: PyTorch's `load_state_dict`.
        saved: a state dict of this or of PyTorch's optimizer.

    Raises:
        ValueError: groups, names or shapes that do not fit.
    """
    found: Saved = {}

    # PyTorch runs this after the user's own hooks, which may change what is loaded.
    def look(_: torch.optim.Optimizer, state_dict: Saved) -> Saved:
        fitted = by_name(optimizer, state_dict)
        refuse_shapes(optimizer, rule, fitted)
        found.update(fitted)
        return fitted

    def mend(_: torch.optim.Optimizer) -> None:
        for key, p in _numbered(found["param_groups"], optimizer.param_groups):
            _keep_types(rule, p, found["state"].get(key, {}), optimizer.state.get(p, {}))

    handles = [
        optimizer.register_load_state_dict_pre_hook(look),
        optimizer.register_load_state_dict_post_hook(mend, prepend=True),
    ]
    try:
        load_as_torch(saved)
    finally:
        for handle in handles:
            handle.remove()


def _numbered(
    saved: Sequence[Group], groups: Sequence[Group]
) -> Iterator[tuple[Any, torch.nn.Parameter]]:
    """Every parameter with the key of its state in the saved groups."""
    for old, new in zip(saved, groups, strict=True):
        yield from zip(old["params"], new["params"], strict=True)


def _keep_types(rule: Rule, p: Tensor, saved: Any, own: Any) -> None:
    """Put back the saved values that PyTorch has cast."""
    scalars = {s.name for s in rule.slots if s.scalar}
    for name, value in saved.items() if isinstance(saved, dict) else ():
        if not isinstance(value, Tensor) or name == "step":
            continue
        if name in scalars:
            own[name] = value.cpu()
        elif own[name].dtype != value.dtype:
            own[name] = value.to(p.device)


def by_name(optimizer: torch.optim.Optimizer, saved: Saved) -> Saved:
    """The saved state in the order of the optimizer's parameters, if both know their names.

    Raises:
        ValueError: one side has a name that the other does not have.
    """
    groups, old = optimizer.param_groups, saved["param_groups"]
    if not all("param_names" in group for group in (*groups, *old)) or len(groups) != len(old):
        return saved
    keys = dict(_items(old))
    here = [name for group in groups for name in group["param_names"]]
    if [*keys] == here:
        sizes = [[len(group["params"]) for group in side] for side in (groups, old)]
        if sizes[0] == sizes[1]:
            return saved
    _refuse_names(type(optimizer).__name__, set(here), set(keys))
    arranged = [
        {
            **settings,
            "params": [keys[name] for name in group["param_names"]],
            "param_names": list(group["param_names"]),
        }
        for settings, group in zip(old, groups, strict=True)
    ]
    return {**saved, "param_groups": arranged}


def _items(groups: Sequence[Group]) -> Iterator[tuple[str, Any]]:
    return chain.from_iterable(zip(g["param_names"], g["params"], strict=True) for g in groups)


def _refuse_names(call: str, here: set[str], there: set[str]) -> None:
    if here != there:
        sides = [
            f"{who} {', '.join(map(repr, sorted(names)))}"
            for who, names in (
                ("the saved state lacks", here - there),
                ("the optimizer lacks", there - here),
            )
            if names
        ]
        raise ValueError(
            f"{call}.load_state_dict(...): state goes by the parameters' names, and "
            f"{' and '.join(sides)}. Rename them in state_dict['param_groups'], or take "
            "'param_names' out of the groups to load by position."
        )


def refuse_shapes(optimizer: torch.optim.Optimizer, rule: Rule, saved: Saved) -> None:
    """Refuse state of another shape than its parameter's, where the rule works by coordinates.

    Raises:
        ValueError: such state.
    """
    groups, old = optimizer.param_groups, saved["param_groups"]
    sizes = [[len(group["params"]) for group in side] for side in (groups, old)]
    if "pointwise" not in rule.facts or sizes[0] != sizes[1]:  # the latter is PyTorch's to refuse
        return
    shaped = [s.name for s in rule.slots if not s.scalar]
    for key, p in _numbered(old, groups):
        for name in shaped:
            value = saved["state"].get(key, {}).get(name)
            if isinstance(value, Tensor) and value.shape != p.shape:
                raise ValueError(
                    f"{type(optimizer).__name__}.load_state_dict(...): {name} of "
                    f"{_called(groups, p)} has shape {tuple(value.shape)}, and the parameter "
                    f"{tuple(p.shape)}. The parameters may stand in another order than when the "
                    "state was saved: give them in that order, or give names on both sides."
                )


def _called(groups: Sequence[Group], p: Tensor) -> str:
    for at, group in enumerate(groups):
        for index, other in enumerate(group["params"]):
            if other is p:
                names = group.get("param_names")
                return repr(names[index]) if names else f"parameter {index} of group {at}"
    return "a parameter"
