"""What laws demand of tensors: to be equal, to agree, to stay, to differ; and of refusals."""

from __future__ import annotations

import dis
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.testing.contract import Broken, NotApplicable
from thalweg.testing.subject import Subject

# Two ways of computing the same step may round differently; a wrong step is off by far more.
AGREE = 1e-5  # of the way gone
ROUNDINGS = 16  # of the largest value

LINE = 160  # characters of somebody's error message
COLOURS = re.compile(r"\x1b\[[0-9;]*m")

Tensors = Sequence[Tensor]


def must_be_equal(found: Tensors, expected: Tensors, what: str) -> None:
    """Bit for bit."""
    for a, b in zip(found, expected, strict=True):
        if not torch.equal(a.nan_to_num(), b.nan_to_num()) or not torch.equal(a.isnan(), b.isnan()):
            raise Broken(f"{what}: off by {_size(a - b):.2g}")


def must_agree(found: Tensors, expected: Tensors, starts: Tensors, what: str) -> None:
    """But for rounding, measured against the way that the expected parameters have gone."""
    for a, b, start in zip(found, expected, starts, strict=True):
        off, way = _size(a - b), _size(b - start)
        if not off <= AGREE * way + _rounding(b):
            much = f"{off / way:.2g} of the way gone" if way else f"{off:.2g}"
            raise Broken(f"{what}: off by {much}")


def agrees(found: Tensors, expected: Tensors, starts: Tensors) -> bool:
    """Whether `must_agree` would be content."""
    try:
        must_agree(found, expected, starts, "")
    except Broken:
        return False
    return True


def must_stay(params: Tensors, starts: Tensors, what: str) -> None:
    """Where it was, bit for bit."""
    must_be_equal([p.detach() for p in params], starts, what)


def must_differ(found: Tensors, other: Tensors, what: str) -> None:
    """In at least one entry."""
    if all(torch.equal(a, b) for a, b in zip(found, other, strict=True)):
        raise Broken(what)


def must_be_finite(params: Tensors, what: str) -> None:
    """No infinity, no NaN."""
    if not all(p.isfinite().all() for p in params):
        raise Broken(f"{what}: parameters are no longer finite")


def demand(holds: bool, what: str) -> None:
    """Raise `Broken` with this sentence unless it holds."""
    if not holds:
        raise Broken(what)


def needs(subject: Subject, *names: str) -> None:
    """The law is about these arguments of the constructor."""
    for name in names:
        if not subject.takes(name):
            raise NotApplicable(f"has no {name}")


def refusal(error: Exception, *words: str) -> str:
    """The optimizer's refusal as a sentence, if it is one: raised on purpose, naming its cause.

    Raises:
        Broken: the error names none of the words, or comes from a kernel that happened to fail, so
            that a user would not know what is wrong.
    """
    text = f"{type(error).__name__}: {error}".lower()
    if not any(word in text for word in words) or not raised_on_purpose(error):
        raise Broken(f"fails, and does not say why: {brief(error)}") from error
    return f"refuses: {brief(error)}"


def raised_on_purpose(error: Exception) -> bool:
    """Whether a `raise` statement made the error, and not a call into compiled code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    return dis.opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"


def brief(error: Exception) -> str:
    """An error in one line of bearable length, without the colours that some messages have."""
    line = " ".join(COLOURS.sub("", f"{type(error).__name__}: {error}").split())
    return line if len(line) <= LINE else line[: LINE - 3] + "..."


def _size(x: Tensor) -> float:
    return float(x.abs().max()) if x.numel() else 0.0


def _rounding(x: Tensor) -> float:
    return ROUNDINGS * torch.finfo(x.dtype).eps * _size(x)
