"""Every operation in C does what PyTorch's does, to the last bit but for roots."""

import pytest
import torch
from optim_cases import stepped
from torch.testing import assert_close

from thalweg.optim import rule
from thalweg.optim.forms import compiled as compiled_module
from thalweg.optim.forms import toolchain
from thalweg.optim.forms.program import record
from thalweg.optim.forms.translation import in_c

INF, NAN = float("inf"), float("nan")
SPECIAL = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-30, -1e30, 0.5]
# Two numbers, as hyperparameters are: known at the step only.
EXACT = {
    "x + y": lambda x, y, a, b: x + y,
    "x + a": lambda x, y, a, b: x + a,
    "x - 1": lambda x, y, a, b: x - 1,
    "a - x": lambda x, y, a, b: a - x,
    "x + a y": lambda x, y, a, b: torch.add(x, y, alpha=a),
    "x - a y": lambda x, y, a, b: torch.sub(x, y, alpha=a),
    "x + y, as a difference": lambda x, y, a, b: torch.sub(x, y, alpha=-1),
    "a y, reversed": lambda x, y, a, b: torch.rsub(x, y, alpha=a),
    "x y": lambda x, y, a, b: x * y,
    "a x": lambda x, y, a, b: a * x,
    "x / y": lambda x, y, a, b: x / y,
    "x / a": lambda x, y, a, b: x / a,
    "a / x": lambda x, y, a, b: a / x,
    "-x": lambda x, y, a, b: -x,
    "1 / x": lambda x, y, a, b: torch.reciprocal(x),
    "|x|": lambda x, y, a, b: abs(x),
    "sign": lambda x, y, a, b: torch.sign(x),
    "x²": lambda x, y, a, b: x**2,
    "x³": lambda x, y, a, b: x**3,
    "larger": lambda x, y, a, b: torch.maximum(x, y),
    "smaller": lambda x, y, a, b: torch.minimum(x, y),
    "clamp": lambda x, y, a, b: torch.clamp(x, -a, a),
    "clamp, crossed": lambda x, y, a, b: torch.clamp(x, 1.0, -a),
    "at least": lambda x, y, a, b: torch.clamp(x, min=a),
    "at most": lambda x, y, a, b: torch.clamp(x, max=a),
    "near": lambda x, y, a, b: torch.lerp(x, y, a),
    "far": lambda x, y, a, b: torch.lerp(x, y, b),
    "weighted": lambda x, y, a, b: torch.lerp(x, y, weight=b),
    "x + y y": lambda x, y, a, b: torch.addcmul(x, y, y),
    "x + a y y": lambda x, y, a, b: torch.addcmul(x, y, y, value=a),
    "x - y y": lambda x, y, a, b: torch.addcmul(x, y, y, value=-1),
    "x + y / x": lambda x, y, a, b: torch.addcdiv(x, y, x),
    "x + a y / x": lambda x, y, a, b: torch.addcdiv(x, y, x, value=a),
    "x > y": lambda x, y, a, b: torch.where(x > y, x, y),
    "x < a": lambda x, y, a, b: torch.where(x < a, x, y),
    "x >= 0": lambda x, y, a, b: torch.where(x >= 0, 2.0, y),
    "x <= y": lambda x, y, a, b: torch.where(x <= y, x, -1.0),
    "v - g g": lambda x, y, a, b: torch.sign(x * x - x * x),
}
ROOTS = {
    "sqrt": lambda x, y, a, b: torch.sqrt(x),
    "x ** 0.5": lambda x, y, a, b: x**0.5,
    "x ** -0.5": lambda x, y, a, b: x**-0.5,
    "x ** 0.25": lambda x, y, a, b: x**0.25,
    "x ** -1": lambda x, y, a, b: x**-1,
}


def both(formula, dtype, monkeypatch):
    """What a step makes of special and of random values, in the plain form and in C."""
    monkeypatch.setattr(compiled_module, "traced", None)

    @rule("pointwise")
    def one(p, g, *, lr=0.3, momentum=0.7):
        return (formula(p, g, lr, momentum),)

    special = torch.tensor(SPECIAL, dtype=dtype)
    x, y = torch.cartesian_prod(special, special).unbind(1)
    draw = torch.Generator().manual_seed(0)
    rest = torch.randn(2, 1003, dtype=dtype, generator=draw)
    x, y = torch.cat([x, rest[0]]), torch.cat([y, rest[1]])
    return [stepped(one, [x], [[y]], form)[0] for form in ("each", "compiled")]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_operation_is_pytorchs(name, dtype, monkeypatch):
    plain, got = both(EXACT[name], dtype, monkeypatch)
    assert_close(got, plain, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize(("dtype", "places"), [(torch.float32, 23), (torch.float64, 52)])
def test_a_root_is_pytorchs_but_for_the_last_bits(name, dtype, places, monkeypatch):
    plain, got = both(ROOTS[name], dtype, monkeypatch)
    assert_close(got, plain, rtol=4 * 2.0**-places, atol=0, equal_nan=True)


UNKNOWN = {
    "another function": lambda p, g: torch.tanh(g),
    "another argument": lambda p, g: torch.div(g, 2.0, rounding_mode="floor"),
    "truth as a number": lambda p, g: (g > 0) * g,
    "truth chosen": lambda p, g: torch.where(g > 0, p > 0, g),
    "truth of truth": lambda p, g: torch.where((g > 0) > (p > 0), p, g),
}


@pytest.mark.parametrize("formula", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_known_in_c_is_left_to_pytorch(formula):
    program, *_ = record(lambda p, g: (formula(p, g),), [True, True], {})
    assert in_c(program, torch.float64) is None


def test_other_types_are_left_to_pytorch():
    program, *_ = record(lambda p, g: (p - g,), [True, True], {})
    assert in_c(program, torch.float64)
    assert in_c(program, torch.bfloat16) is None


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    return tmp_path


SOURCE = "int twice(int x) { return 2 * x; }"


def test_a_library_is_kept_and_nothing_beside_it(own_cache):
    assert toolchain.library(SOURCE).twice(21) == 42
    (kept,) = own_cache.rglob("*.*")
    made = kept.stat().st_mtime_ns
    assert toolchain.library(SOURCE).twice(4) == 8
    assert kept.stat().st_mtime_ns == made


@pytest.mark.usefixtures("own_cache")
def test_sources_and_processors_have_libraries_of_their_own(own_cache, monkeypatch):
    assert toolchain.library(SOURCE).twice(1) == 2
    assert toolchain.library(SOURCE.replace("2 *", "3 *")).twice(1) == 3
    monkeypatch.setattr(toolchain, "_processor", lambda: "another")
    assert toolchain.library(SOURCE).twice(1) == 2
    assert len(list(own_cache.rglob("*.so"))) == 3


NO_COMPILER = {
    "not there": ("no-such-compiler", "the C compiler cannot be run"),
    "failing": ("false", "false failed"),
}


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("command", "words"), NO_COMPILER.values(), ids=NO_COMPILER.keys())
def test_a_compiler_that_fails_is_said_to(command, words, monkeypatch):
    monkeypatch.setenv("CC", command)
    with pytest.raises(RuntimeError, match=words):
        toolchain.library(SOURCE)


@pytest.mark.usefixtures("own_cache")
def test_a_machine_without_a_compiler_is_told_what_to_do(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"no C compiler found; install one.* CC"):
        toolchain.library(SOURCE)


@pytest.mark.usefixtures("own_cache")
def test_a_library_that_cannot_be_loaded_is_reported(monkeypatch):
    monkeypatch.setattr(toolchain, "FLAGS", ("-c",))  # an object, and no library
    with pytest.raises(RuntimeError, match="cannot be loaded"):
        toolchain.library(SOURCE)


def test_without_a_lasting_folder_the_process_has_its_own(monkeypatch, tmp_path):
    taken = tmp_path / "file"
    taken.write_text("")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(taken))
    assert toolchain.library(SOURCE).twice(3) == 6
    assert toolchain._own_folder().is_dir()


def test_a_folder_that_takes_no_files_is_done_without(monkeypatch, tmp_path):
    monkeypatch.setattr(toolchain, "_folder", lambda: tmp_path / "gone")
    assert toolchain.library(SOURCE).twice(5) == 10
    assert not (tmp_path / "gone").exists()
