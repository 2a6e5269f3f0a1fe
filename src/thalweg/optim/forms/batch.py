"""Running one formula on many tensors: objects that stand in for a tensor.

A formula is written for one tensor. An `Operand` is anything else that it can be run on: the
operators below turn `b * m` into `torch.mul(m, b)`, and PyTorch hands every `torch` function
that meets an `Operand` to `__torch_function__`, so that `run` sees each operation of the formula.

`Batch` is the operand that holds a list of tensors and does each operation to all of them, with
one `torch._foreach_*` call where PyTorch has one. (`kernel.Symbol` is the operand that only
writes the operations down.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Operand:
    """Something that a formula can be run on in place of a tensor."""

    @classmethod
    def run(cls, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do one operation, at least one of whose arguments is an operand of this class."""
        raise NotImplementedError

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return cls.run(func, args, kwargs or {})

    def __add__(self, other: Any) -> Any:
        return self.run(torch.add, (self, other), {})

    def __sub__(self, other: Any) -> Any:
        return self.run(torch.sub, (self, other), {})

    def __rsub__(self, other: Any) -> Any:
        return self.run(torch.rsub, (self, other), {})

    def __mul__(self, other: Any) -> Any:
        return self.run(torch.mul, (self, other), {})

    def __truediv__(self, other: Any) -> Any:
        return self.run(torch.div, (self, other), {})

    def __rtruediv__(self, other: Any) -> Any:  # as Tensor does it, to the last bit
        return self.run(torch.reciprocal, (self,), {}) * other

    def __pow__(self, other: Any) -> Any:
        return self.run(torch.pow, (self, other), {})

    def __matmul__(self, other: Any) -> Any:
        return self.run(torch.matmul, (self, other), {})

    def __neg__(self) -> Any:
        return self.run(torch.neg, (self,), {})

    def __abs__(self) -> Any:
        return self.run(torch.abs, (self,), {})

    def __gt__(self, other: Any) -> Any:
        return self.run(torch.gt, (self, other), {})

    def __lt__(self, other: Any) -> Any:
        return self.run(torch.lt, (self, other), {})

    def __ge__(self, other: Any) -> Any:
        return self.run(torch.ge, (self, other), {})

    def __le__(self, other: Any) -> Any:
        return self.run(torch.le, (self, other), {})

    __radd__ = __add__
    __rmul__ = __mul__


FOREACH: dict[Any, Any] = {
    torch.add: torch._foreach_add,
    torch.sub: torch._foreach_sub,
    torch.mul: torch._foreach_mul,
    torch.div: torch._foreach_div,
    torch.lerp: torch._foreach_lerp,
    torch.addcmul: torch._foreach_addcmul,
    torch.addcdiv: torch._foreach_addcdiv,
    torch.maximum: torch._foreach_maximum,
    torch.minimum: torch._foreach_minimum,
    torch.sqrt: torch._foreach_sqrt,
    torch.reciprocal: torch._foreach_reciprocal,
    torch.neg: torch._foreach_neg,
    torch.abs: torch._foreach_abs,
    torch.sign: torch._foreach_sign,
}


class Batch(Operand):
    """A list of tensors, to each of which every operation is done."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors

    def __repr__(self) -> str:
        return f"Batch of {len(self.tensors)} tensors"

    @classmethod
    def run(cls, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One foreach call if PyTorch has it for these arguments, otherwise tensor by tensor."""
        together = FOREACH.get(func)
        # The foreach functions take numbers, but not 0-d tensors in a number's place.
        if together and not any(isinstance(x, Tensor) for x in (*args, *kwargs.values())):
            return Batch(list(together(*map(_list, args), **kwargs)))
        length = next(len(x.tensors) for x in (*args, *kwargs.values()) if isinstance(x, Batch))
        return Batch(
            [
                func(*(_item(x, i) for x in args), **{k: _item(x, i) for k, x in kwargs.items()})
                for i in range(length)
            ]
        )


def _list(x: Any) -> Any:
    return x.tensors if isinstance(x, Batch) else x


def _item(x: Any, index: int) -> Any:
    return x.tensors[index] if isinstance(x, Batch) else x
