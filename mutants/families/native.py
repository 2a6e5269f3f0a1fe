"""Programs in C."""

from mutants.families.suites import optim
from mutants.mutant import of

OPERATIONS = optim("translation::test_an_operation_is_pytorchs", "translation")
KERNELS = optim(
    "compiled::test_pieces_cover_each_coordinate_once",
    "compiled::test_autograd_is_told_that_a_parameter_has_changed",
    "compiled::test_gradients_are_read_where_they_stand_and_left_as_they_are",
    "compiled::test_memory_that_was_exchanged_is_not_written_to",
    "compiled::test_a_schedule_reaches_the_compiled_kernel",
    "compiled::test_compiled_agrees_within_rounding",
)

MUTANTS = [
    *of(
        "optim/forms/translation.py",
        (*OPERATIONS, *KERNELS),
        ("x > y || x != x ? x : y", "x > y ? x : y", "the larger of NaN and a number is a number"),
        ("x < y || x != x ? x : y", "x > y || x != x ? x : y", "the smaller is the larger"),
        ("(T)(x > 0) - (T)(x < 0)", "(T)(x > 0) + (T)(x < 0)", "a sign without its sign"),
        ("fabs(weight) < (T)0.5 ?", "fabs(weight) < (T)0 ?", "lerp from the other end alone"),
        ("return x < low ? low : x;", "return x <= low ? x : low;", "at least is at most"),
        (
            "for (int64_t i = grouped; i < count; i++) COORDINATE",
            "for (int64_t i = grouped + 1; i < count; i++) COORDINATE",
            "a coordinate after the groups is left out",
        ),
        (
            "const int64_t rest = table[row] - skip",
            "const int64_t rest = table[row]",
            "a piece that begins within a tensor runs over its end",
        ),
        (
            'arguments=", ".join(f"(T *)table[{i + 1} * rows + row] + skip" for i in inputs)',
            'arguments=", ".join(f"(T *)table[{i + 1} * rows + row]" for i in inputs)',
            "each piece begins at the tensor's beginning",
        ),
        (
            'torch.addcdiv: lambda x, y, z, value="1": f"{x} + {value} * {y} / {z}"',
            'torch.addcdiv: lambda x, y, z, value="1": f"{x} + {value} * ({y} / {z})"',
            "another order of product and quotient",
        ),
        (
            'torch.rsub: lambda x, y, alpha="1": f"add({y}, -({alpha}), {x})"',
            'torch.rsub: lambda x, y, alpha="1": f"add({x}, -({alpha}), {y})"',
            "1 - x is x - 1",
        ),
        (
            "return None  # arithmetic with truth has rules of its own",
            "pass",
            "truth is counted with",
        ),
    ),
    *of(
        "optim/forms/native.py",
        KERNELS,
        (
            "for start in range(0, ends[-1], PIECE)",
            "for start in range(PIECE, ends[-1], PIECE)",
            "the first piece is left out",
        ),
        ("min(PIECE, ends[-1] - start)", "PIECE", "the last piece runs over the end"),
        (
            "start - ends[row] + sizes[row]",
            "0",
            "every piece begins at its tensor's beginning",
        ),
        ("    table.put(lane.gradients)\n", "", "the first step's gradients for ever"),
        (
            "    increment_version(table.written)  # which PyTorch's own functions do\n",
            "",
            "autograd is not told",
        ),
        (
            'array("d", [*numbers, *map(float, scalars)])',
            'array("d", [*map(float, scalars), *numbers])',
            "scalars before numbers",
        ),
    ),
    *of(
        "optim/forms/toolchain.py",
        optim("translation"),
        ('"\\0".join((source, *command', '"\\0".join((*command', "every source has one library"),
        ("*FLAGS, _processor()", "*FLAGS", "a library for another processor"),
        (
            "    if not path.exists():\n        _compile",
            "    if True:\n        _compile",
            "compiled anew each time",
        ),
    ),
]
