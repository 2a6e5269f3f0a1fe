r"""Operators of a loss whose data is spread over processes.

    A v = sum_r A_r v,        A_r over the batches of rank r, weighted by the samples of all ranks

Every rank takes part in every product, with the vector of the group's first rank, and gets the same
result: one all-reduce of n + 1 numbers, the last of which tells whether a rank has failed, so that
all stop with it instead of waiting for it.

Parameters that are sharded (FSDP2) are gathered: each rank holds all n of them and whole vectors,
since algorithms work on whole vectors. What is spread is the data and, with it, the graphs and the
time of the products. A model must therefore fit on each rank without its optimizer's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from thalweg.operators.operator import ParameterOperator

Group = Any  # a ProcessGroup, a name that does not exist where PyTorch is built without them


def plain(model: nn.Module) -> nn.Module:
    """The model inside `DistributedDataParallel`; any other model itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def group_of(model: nn.Module) -> Group | None:
    """The processes that train `model` together, where it says so (DDP, FSDP2); else None.

    Raises:
        ValueError: its parameters are sharded over some of the processes only.
    """
    if isinstance(model, DistributedDataParallel):
        return model.process_group
    if not any(is_sharded(module) for module in model.modules()):
        return None
    sizes = {p.device_mesh.size() for p in model.parameters() if hasattr(p, "device_mesh")}
    if sizes - {dist.get_world_size()}:
        raise ValueError(
            f"the model is sharded over {sorted(sizes)} of {dist.get_world_size()} processes; pass "
            "group=, the processes whose data counts."
        )
    return dist.group.WORLD


def is_sharded(module: nn.Module) -> bool:
    """Whether `fully_shard` was applied to this module."""
    return hasattr(module, "_get_fsdp_state")


@contextmanager
def without_sharding(model: nn.Module) -> Iterator[None]:
    """Calls of the model compute with the parameters they are given, and gather none."""
    with ExitStack() as stack:
        for module in filter(is_sharded, model.modules()):
            stack.enter_context(hooks_removed(module))
        yield


@contextmanager
def hooks_removed(module: Any) -> Iterator[None]:
    """The module without the two hooks with which FSDP gathers and frees its parameters."""
    state = module._get_fsdp_state()
    before, after = module._forward_pre_hooks, module._forward_hooks
    own = {state._pre_forward_hook_handle.id, state._post_forward_hook_handle.id}
    module._forward_pre_hooks = type(before)((k, h) for k, h in before.items() if k not in own)
    module._forward_hooks = type(after)((k, h) for k, h in after.items() if k not in own)
    try:
        yield
    finally:
        module._forward_pre_hooks, module._forward_hooks = before, after


@contextmanager
def together(group: Group | None) -> Iterator[None]:
    """What goes wrong inside on one rank is raised on all of them.

    Raises:
        RuntimeError: on the ranks where nothing went wrong; it names the others.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    if group is not None:
        said: list[str | None] = [None] * dist.get_world_size(group)
        dist.all_gather_object(said, failure and f"{type(failure).__name__}: {failure}", group)
        others = [f"rank {rank}: {words}" for rank, words in enumerate(said) if words]
        if others and failure is None:
            raise RuntimeError("; ".join(others))
    if failure is not None:
        raise failure


def total(number: float, group: Group | None) -> float:
    """The sum over ranks of a number."""
    if group is None:
        return number
    said: list[float] = [0.0] * dist.get_world_size(group)
    dist.all_gather_object(said, float(number), group)
    return sum(said)


def rank_in(group: Group | None) -> tuple[int, int]:
    """This process's rank in the group, and the group's size; (0, 1) without one."""
    return (0, 1) if group is None else (dist.get_rank(group), dist.get_world_size(group))


def shared_facts(facts: frozenset[str], group: Group) -> frozenset[str]:
    """The facts that every rank vouches for."""
    said: list[frozenset[str]] = [frozenset()] * dist.get_world_size(group)
    dist.all_gather_object(said, facts, group)
    return frozenset.intersection(*said)


@final
class AcrossRanks(ParameterOperator):
    """The sum of the ranks' operators.

    Args:
        local: this rank's; every rank has one with the same layout.
        group: the processes.

    All ranks must take the same products in the same order.
    """

    def __init__(self, local: ParameterOperator, group: Group) -> None:
        self._local, self._group = local, group
        self.name, self.layout = local.name, local.layout
        self.facts = shared_facts(local.facts, group)
        self.loss = total(local.loss, group)
        self.gradient = self._sum(lambda: local.gradient, local.gradient)

    @property
    def held(self) -> int:
        """Bytes that this rank keeps for products."""
        return self._local.held

    def _product(self, vector: Tensor) -> Tensor:
        return self._products(vector)

    def _products(self, vectors: Tensor) -> Tensor:
        common = self._first_ranks(vectors)
        return self._sum(lambda: self._local @ common, vectors)

    def loss_at(self, by: Tensor) -> float:
        """The loss of all ranks at the parameters plus `by`."""
        common = self._first_ranks(by)
        value = self._sum(lambda: by.new_tensor([self._local.loss_at(common)]), by.new_zeros(1))
        return float(value)

    def gradient_at(self, by: Tensor) -> Tensor:
        """The gradient of all ranks at the parameters plus `by`."""
        common = self._first_ranks(by)
        return self._sum(lambda: self._local.gradient_at(common), by)

    def exact_diagonal(self) -> Tensor | None:
        """The sum of the ranks' diagonals, where all know theirs."""
        with together(self._group):
            local = self._local.exact_diagonal()
        unknown = total(local is None, self._group)
        return None if local is None or unknown else self._sum(lambda: local, local)

    def exact_trace(self) -> float | None:
        """The sum of the ranks' traces, where all know theirs."""
        with together(self._group):
            local = self._local.exact_trace()
        unknown = total(local is None, self._group)
        return None if local is None or unknown else total(local, self._group)

    def _first_ranks(self, tensor: Tensor) -> Tensor:
        common = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.broadcast(common, group=self._group, group_src=0)
        return common

    def _sum(self, work: Callable[[], Tensor], like: Tensor) -> Tensor:
        """The sum over ranks of what `work` returns, of the shape of `like`."""
        failure: Exception | None = None
        sent = torch.zeros(like.numel() + 1, dtype=like.dtype, device=like.device)
        try:
            sent[:-1] = work().reshape(-1)
        except Exception as error:
            failure, sent[-1] = error, 1
        dist.all_reduce(sent, group=self._group)
        if failure is not None:
            raise failure
        if float(sent[-1]):
            raise RuntimeError(f"{self.name}: another rank failed; its error says why.")
        return sent[:-1].reshape(like.shape)

    def close(self) -> None:
        """Free what this rank keeps; products are refused from here on."""
        self._local.close()
