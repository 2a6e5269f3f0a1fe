"""What to do when a gradient holds NaN or infinity.

    pass    step all the same, as PyTorch does
    skip    leave the whole step out: no parameter, no state and no count moves
    raise   raise RuntimeError, naming the parameters; nothing has moved

One pass over the gradients decides: their largest entries are read together, and a NaN is larger
than everything. Where parameters are sharded, all processes decide alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from thalweg.optim.forms.sharded import is_sharded, local

POLICIES = ("pass", "skip", "raise")
SHOWN = 3  # parameters that a message names

Groups = Sequence[Mapping[str, Any]]


class Guard:
    """Lets steps through by a policy, and counts those that it does not.

    Args:
        policy: one of `POLICIES`.
        call: the optimizer's name, for messages.
        skipped: how many steps were left out before.
    """

    def __init__(self, policy: str, call: str, skipped: int = 0) -> None:
        self.policy, self.call, self.skipped = policy, call, skipped

    def admits(self, groups: Groups) -> bool:
        """Whether to step.

        Raises:
            RuntimeError: a gradient is not finite and the policy is to raise.
        """
        if self.policy == "pass" or all_finite(groups):
            return True
        if self.policy == "raise":
            raise RuntimeError(complaint(self.call, groups))
        self.skipped += 1
        return False


def all_finite(groups: Groups) -> bool:
    """Whether no gradient holds NaN or infinity; what no gradient has come for is left out."""
    grads = [p.grad for group in groups for p in group["params"] if p.grad is not None]
    finite = _finite([_entries(g) for g in grads])
    for mesh in {g.device_mesh for g in grads if is_sharded(g)}:
        finite = _agreed(finite, mesh)
    return finite


def _entries(g: Any) -> Tensor:
    """A gradient's numbers, as a plain tensor of reals."""
    g = local(g)
    g = g._values() if g.layout is not torch.strided else g
    return torch.view_as_real(g) if g.is_complex() else g


def _finite(grads: Sequence[Tensor]) -> bool:
    alike: dict[Any, list[Tensor]] = {}
    for g in grads:
        if g.numel():  # nothing has no largest entry
            alike.setdefault((g.device, g.dtype), []).append(g)
    peaks = (torch.stack(torch._foreach_norm(gs, torch.inf)) for gs in alike.values())
    return all(bool(peak.isfinite().all()) for peak in peaks)


def _agreed(finite: bool, mesh: Any) -> bool:
    """Whether every process of the mesh says so."""
    flag = torch.tensor(float(finite), device=mesh.device_type)
    for dim in range(mesh.ndim):
        dist.all_reduce(flag, dist.ReduceOp.MIN, group=mesh.get_group(dim))
    return bool(flag)


def complaint(call: str, groups: Groups) -> str:
    """An error's message: which parameters, how many entries of which kind."""
    found = list(_found(groups))
    more = f", and so do {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    where = "; ".join(found[:SHOWN]) or "gradients held by other processes are not finite"
    return (
        f"{call}.step(): {where}{more}. Nothing was changed. "
        "torch.autograd.set_detect_anomaly(True) finds the operation that makes NaN; "
        "nonfinite='skip' leaves such steps out."
    )


def _found(groups: Groups) -> Iterator[str]:
    for at, group in enumerate(groups):
        names = group.get("param_names")
        for index, p in enumerate(group["params"]):
            if p.grad is None:
                continue
            g = _entries(p.grad)
            nans, infinite = int(g.isnan().sum()), int(g.isinf().sum())
            if nans or infinite:
                name = repr(names[index]) if names else f"parameter {index} of group {at}"
                yield (
                    f"the gradient of {name} holds {nans} NaN and {infinite} infinite "
                    f"entries of {g.numel()}"
                )
