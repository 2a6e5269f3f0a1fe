"""A program as a function in C.

Everything that a program asks of one coordinate stands in one loop: what is read and written passes
through the processor once. The function works through a table of memory addresses, so that any
number of tensors of any sizes is one call, and nothing is joined or copied.

Each operation is rounded as PyTorch rounds it, with `x + number * y` in one rounding where the
processor can. Only roots may differ, which the library that PyTorch has them from does not round.

The processor is told what will be read 2 KiB later. It finds out by itself as long as it follows
few streams of memory; a rule has three to seven, and without this Adam takes an eighth longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from thalweg.optim.forms.program import Operation, Program, fill

TYPES = {torch.float32: ("float", "int32_t"), torch.float64: ("double", "int64_t")}

# Each row of the table, which stands in memory column by column, is for one tensor: how many
# elements it has, and where each input begins. Results are written over the inputs they replace.
SOURCE = r"""#include <stdint.h>
#include <tgmath.h>
typedef {real} T;
typedef {answer} A;
enum {{ LINE = 64 / sizeof(T), GROUP = 4 * LINE, AHEAD = 32 * LINE }};
#if defined(FP_FAST_FMA) && defined(FP_FAST_FMAF)
static inline T add(T x, T factor, T y) {{ return fma(factor, y, x); }}
#else
static inline T add(T x, T factor, T y) {{ return x + factor * y; }}
#endif
static inline T mix(T x, T y, T weight) {{
  return fabs(weight) < (T)0.5 ? add(x, weight, y - x) : add(y, weight - 1, y - x);
}}
static inline T larger(T x, T y) {{ return x > y || x != x ? x : y; }}
static inline T smaller(T x, T y) {{ return x < y || x != x ? x : y; }}
static inline T at_least(T x, T low) {{ return x < low ? low : x; }}
static inline T at_most(T x, T high) {{ return x > high ? high : x; }}
static inline T sign(T x) {{ return (T)(x > 0) - (T)(x < 0); }}
static inline void fetch(const T *x) {{
  for (int at = AHEAD; at < AHEAD + GROUP; at += LINE) __builtin_prefetch(x + at);
}}

#define COORDINATE {{ \
    {coordinate} \
  }}
__attribute__((noinline)) static void one(
    int64_t count, const double *numbers, {parameters}) {{
  {numbers}
  const int64_t grouped = count - count % GROUP;
  for (int64_t start = 0; start < grouped; start += GROUP) {{
    {fetches}
    for (int64_t i = start; i < start + GROUP; i++) COORDINATE
  }}
  for (int64_t i = grouped; i < count; i++) COORDINATE
}}

void advance(const int64_t *table, int64_t rows, int64_t row, int64_t skip, int64_t left,
             const double *numbers) {{
  for (; left > 0; row++, skip = 0) {{
    const int64_t rest = table[row] - skip, count = rest < left ? rest : left;
    one(count, numbers, {arguments});
    left -= count;
  }}
}}
"""


def _power(x: str, exponent: float) -> str:
    known = {2: f"{x} * {x}", 3: f"{x} * {x} * {x}", 0.5: f"sqrt({x})", -0.5: f"1 / sqrt({x})"}
    return known.get(exponent, f"(T)pow((double){x}, {float(exponent)!r})")


def _clamp(x: str, min: str | None = None, max: str | None = None) -> str:
    x = x if min is None else f"at_least({x}, {min})"
    return x if max is None else f"at_most({x}, {max})"


ARITHMETIC: dict[Any, Callable[..., str]] = {
    torch.add: lambda x, y, alpha="1": f"add({x}, {alpha}, {y})",
    torch.sub: lambda x, y, alpha="1": f"add({x}, -({alpha}), {y})",
    torch.rsub: lambda x, y, alpha="1": f"add({y}, -({alpha}), {x})",
    torch.mul: lambda x, y: f"{x} * {y}",
    torch.div: lambda x, y: f"{x} / {y}",
    torch.neg: lambda x: f"-{x}",
    torch.reciprocal: lambda x: f"1 / {x}",
    torch.pow: _power,
    torch.sqrt: lambda x: f"sqrt({x})",
    torch.abs: lambda x: f"fabs({x})",
    torch.sign: lambda x: f"sign({x})",
    torch.maximum: lambda x, y: f"larger({x}, {y})",
    torch.minimum: lambda x, y: f"smaller({x}, {y})",
    torch.clamp: _clamp,
    torch.where: lambda answer, x, y: f"{answer} ? {x} : {y}",
    torch.lerp: lambda x, y, weight: f"mix({x}, {y}, {weight})",
    torch.addcmul: lambda x, y, z, value="1": f"add({x}, {value} * {y}, {z})",
    torch.addcdiv: lambda x, y, z, value="1": f"{x} + {value} * {y} / {z}",
}
QUESTIONS: dict[Any, Callable[..., str]] = {
    torch.gt: lambda x, y: f"{x} > {y}",
    torch.lt: lambda x, y: f"{x} < {y}",
    torch.ge: lambda x, y: f"{x} >= {y}",
    torch.le: lambda x, y: f"{x} <= {y}",
}


def in_c(program: Program, kind: torch.dtype) -> str | None:
    """The source of a library with one function, `advance`; None where C lacks an operation.

    Args:
        program: a pointwise formula's.
        kind: the type of all its tensors.
    """
    operations = _operations(program) if kind in TYPES else None
    if operations is None:
        return None
    real, answer = TYPES[kind]
    inputs = range(program.inputs)
    loads = [f"const T v{i} = x{i}[i];" for i in inputs]
    stores = [
        f"x{place}[i] = v{value};"
        for place, value in zip(program.places, program.outputs, strict=True)
        if place is not None and value not in (None, place)
    ]
    return SOURCE.format(
        real=real,
        answer=answer,
        parameters=", ".join(f"T *restrict x{i}" for i in inputs),
        arguments=", ".join(f"(T *)table[{i + 1} * rows + row] + skip" for i in inputs),
        numbers="\n  ".join(f"const T {n} = (T)numbers[{i}];" for i, n in _numbers(program)),
        fetches=" ".join(f"fetch(x{i} + start);" for i in inputs),
        coordinate=" \\\n    ".join(loads + operations + stores),
    )


def _numbers(program: Program) -> enumerate[str]:
    """The names of a program's numbers, and then of its 0-d tensors."""
    return enumerate(f"k{i}" for i in range(program.numbers + program.scalars))


def _operations(program: Program) -> list[str] | None:
    """A line for each operation."""
    lines: list[str] = []
    answers: set[int] = set()  # the values that are true or false
    for at, operation in enumerate(program.operations, program.inputs):
        if not answers.isdisjoint(_counted(operation)):
            return None  # arithmetic with truth has rules of its own
        text = _in_words(operation, program)
        if text is None:
            return None
        asks = operation.func in QUESTIONS
        answers |= {at} if asks else set()
        lines.append(f"const {'A' if asks else 'T'} v{at} = {text};")
    return lines


def _counted(operation: Operation) -> list[int]:
    """The values that an operation takes for numbers."""
    return operation.reads[1:] if operation.func is torch.where else operation.reads


def _in_words(operation: Operation, program: Program) -> str | None:
    values = [f"v{i}" for i in range(program.inputs + len(program.operations))]
    names = [name for _, name in _numbers(program)]
    args, kwargs = fill(operation, values, names, names[program.numbers :])
    try:
        return {**ARITHMETIC, **QUESTIONS}[operation.func](*args, **kwargs)
    except (KeyError, TypeError):  # another function, or an argument that is left out here
        return None
