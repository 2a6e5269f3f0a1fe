"""Parameters of which every process holds a part: PyTorch's `DTensor`s, as `fully_shard` makes.

A pointwise rule needs no other process: each steps its own part (`Part`). Any other rule is given
the whole parameter, gathered from all processes, which all compute the same step and keep their
parts of the result (`Whole`). State of the parameter's shape is sharded as the parameter is, so
that `torch.distributed.checkpoint` finds what it expects; state of another shape is whole in every
process. Numbers made of all parameters are made of all their parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from thalweg.optim.rule import Rule

Own = dict[str, Any]


def is_sharded(x: Any) -> bool:
    """Whether a tensor is a `DTensor`; costs nothing where nobody has imported them."""
    return hasattr(x, "device_mesh")


def local(x: Any) -> Any:
    """This process's part of a sharded tensor; any other tensor is itself."""
    return x.to_local() if is_sharded(x) else x


def whole(x: Any) -> Any:
    """All parts of a sharded tensor, gathered; anything else is itself."""
    if isinstance(x, (tuple, list)):
        return type(x)(map(whole, x))
    return x.full_tensor() if is_sharded(x) else x


def joined_parts(part: Tensor, like: Any) -> Any:
    """This process's part as the sharded tensor that it is a part of; `like` says how."""
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part,
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )


def everywhere(x: Tensor, like: Any) -> Any:
    """A tensor that all processes hold alike, as a `DTensor` on another's processes."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh = like.device_mesh
    return DTensor.from_local(x, mesh, [Replicate()] * mesh.ndim, run_check=False)


def divided(x: Tensor, like: Any) -> Any:
    """A tensor that every process holds whole, divided as `like` is; nothing is sent."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(x, like.device_mesh, like.placements, src_data_rank=None)


def gradient(p: Any) -> Any:
    """A sharded parameter's gradient, divided as the parameter is."""
    return p.grad.redistribute(p.device_mesh, p.placements) if p.grad is not None else None


class Part:
    """This process's part of a parameter, with its parts of the state.

    Args:
        p: a sharded parameter with a gradient.
        rule: pointwise.
        own: the dictionary to use for the state; the same one at every step.
        state: the parameter's.
    """

    def __init__(self, p: Any, rule: Rule, own: Own, state: Mapping[str, Any]) -> None:
        self.p, self.own = p, own
        self.shaped = {s.name for s in rule.slots if not s.scalar}
        self.tensor: Tensor = p.to_local()
        self.tensor.grad = local(gradient(p))
        own.clear()
        own.update({name: local(x) for name, x in state.items()})

    def give_back(self, state: Own) -> None:
        """Hand over what the step has started; all else was written in place."""
        for name, x in self.own.items():
            if local(state.get(name)) is not x:
                state[name] = joined_parts(x, self.p) if name in self.shaped else x

    def seen_whole(self, x: Any) -> Any:
        """A tensor of the part's shape as a part of all."""
        same = isinstance(x, Tensor) and x.shape == self.tensor.shape
        return joined_parts(x, self.p) if same else x


class Whole:
    """All of a parameter, with all of its state.

    Args:
        p: a sharded parameter with a gradient.
        rule: any.
        state: the parameter's.
    """

    def __init__(self, p: Any, rule: Rule, state: Mapping[str, Any]) -> None:
        self.p = p
        self.shaped = {s.name for s in rule.slots if not s.scalar}
        self.tensor: Tensor = p.detach().full_tensor()
        self.tensor.grad = gradient(p).full_tensor()
        self.own: Own = {name: whole(x) for name, x in state.items()}

    def give_back(self, state: Own) -> None:
        """Keep this process's parts."""
        self.p.to_local().copy_(divided(self.tensor, self.p).to_local())
        for name, x in self.own.items():
            if is_sharded(state.get(name)):
                state[name].to_local().copy_(divided(x, self.p).to_local())
            elif name in self.shaped and x.shape == self.p.shape:
                state[name] = divided(x, self.p)
            else:
                state[name] = x
