"""What a call is called, and which calls there is nothing to see of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# Calls that neither compute a value the loss can depend on nor read one out.
SILENT = frozenset(
    "dim size numel stride storage_offset is_complex is_floating_point is_contiguous element_size "  # noqa: SIM905
    "data_ptr get_device untyped_storage nelement ndimension type_as __len__ __hash__ "
    "_set_grad_enabled _record_function_enter_new _record_function_exit._RecordFunction "
    "requires_grad_ retain_grad register_hook is_nonzero_ has_names __repr__ names __set__ "
    "__delete__".split()
)
# Properties whose value is a tensor computed from the tensor they belong to.
VIEWING = frozenset({"T", "mT", "H", "mH", "real", "imag", "data"})


def name_of(func: Callable[..., Any]) -> str:
    """The function's name; for a property of a tensor, the property's."""
    name = getattr(func, "__name__", "") or str(func)
    if name == "__get__":
        owner = getattr(func, "__self__", None)
        attribute = getattr(owner, "__name__", "")
        return attribute if attribute in VIEWING else ("grad_of" if attribute == "grad" else "size")
    return name


def without_values() -> bool:
    """Whether calls are transformed, traced or counted: no values to look at, or none of ours."""
    return (
        torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    )
