"""The compiled form: as the plain one within rounding, compiled once, and never a run's end."""

import os
import subprocess
import sys

import pytest
import torch
from optim_cases import SHAPES, active, gradients, stepped
from torch.testing import assert_close

from thalweg.optim import RULES, Adam, Engine, clip_by_global_norm, l2, rule
from thalweg.optim import engine as engine_module
from thalweg.optim.forms import compiled as compiled_module
from thalweg.optim.forms import native as native_module

POINTWISE = [one for one in RULES.values() if "pointwise" in one.facts]
# PyTorch's compiler uses what PyTorch itself calls deprecated.
quietly = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
traces = lambda test: pytest.mark.compile(quietly(test))
PARAMS = gradients(SHAPES, 1, seed=9)[0]


@rule("pointwise")
def bent(p, g, *, lr=0.1):
    """A rule that PyTorch must compile, as it has a function that we do not write in C."""
    return (p - lr * torch.tanh(g),)


@pytest.fixture
def sources(monkeypatch):
    """What was given to the C compiler, or found compiled."""
    seen, genuine = [], native_module.library
    monkeypatch.setattr(native_module, "library", lambda s: seen.append(s) or genuine(s))
    native_module._kernel.cache_clear()
    yield seen
    native_module._kernel.cache_clear()


@pytest.fixture
def alone(monkeypatch):
    """No help of PyTorch's compiler."""
    monkeypatch.setattr(compiled_module, "traced", None)


@pytest.fixture
def compiler():
    """A fresh compiler of PyTorch's, so that what is counted is this test's."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()


def assert_same(one, other, tolerance):
    (params, states), (others, other_states) = one, other
    assert_close(params, others, rtol=tolerance, atol=tolerance, equal_nan=True)
    assert [s.keys() for s in states] == [s.keys() for s in other_states]
    assert_close(states, other_states, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("one", [*POINTWISE, clip_by_global_norm(l2(RULES["adam"]))], ids=repr)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
def test_compiled_agrees_within_rounding(one, dtype, tolerance):
    params, hyper = [p.to(dtype) for p in PARAMS], active(one)
    grads = gradients(SHAPES, 4, dtype=dtype)
    plain = stepped(one, params, grads, **hyper)
    assert_same(stepped(one, params, grads, "compiled", **hyper), plain, tolerance)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_parameters_are_pairs_of_reals(dtype):
    params = [torch.randn(30, 7, dtype=dtype), torch.randn((), dtype=dtype)]
    grads = [[torch.randn_like(p) for p in params] for _ in range(4)]
    plain = stepped(RULES["adam"], params, grads)
    assert_same(stepped(RULES["adam"], params, grads, "compiled"), plain, 1e-6)


@pytest.mark.usefixtures("alone")
def test_layouts_of_memory_are_kept():
    turned = torch.randn(4, 3, 5, 6, dtype=torch.float64).to(memory_format=torch.channels_last)
    params = [turned, torch.randn(50, 40, dtype=torch.float64).t()]
    grads = [[torch.empty_like(p).normal_() for p in params] for _ in range(4)]
    plain = stepped(RULES["adam"], params, grads)
    assert_same(stepped(RULES["adam"], params, grads, "compiled"), plain, 1e-12)


@pytest.mark.usefixtures("alone")
def test_schedules_sizes_and_late_parameters_share_one_compilation(sources):
    one = RULES["adam"]
    for shape in [(3000,), (40, 100), (70_001,), (300, 400), (2, 3, 50, 60)]:
        p, late = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
        engine, state = Engine(one, "compiled"), {p: {}, late: {}}
        with torch.no_grad():
            for step in range(5):
                p.grad = torch.ones(shape)
                late.grad = torch.ones(shape) if step > 2 else None
                hyper = one.settings(lr=step * 1e-3, betas=(0.9, 0.9 + step / 100))
                engine.step([{"params": [p, late], **hyper}], state)
    assert len(sources) == 1


@pytest.mark.usefixtures("alone")
def test_a_schedule_reaches_the_compiled_kernel():
    grads = gradients([(3000,)], 4)
    for one in POINTWISE:
        ends = []
        for form in ("each", "compiled"):
            p = torch.nn.Parameter(torch.ones(3000, dtype=torch.float64))
            engine, state = Engine(one, form), {p: {}}
            with torch.no_grad():
                for step, (g,) in enumerate(grads):
                    p.grad = g
                    hyper = {**active(one), "lr": 0.1 * step}
                    if "betas" in hyper:
                        moved = (0.5 + step / 10, 0.9 - step / 10)
                        hyper["betas"] = (*moved, *hyper["betas"][2:])
                    engine.step([{"params": [p], **hyper}], state)
            ends.append(p.detach())
        assert_close(*ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("piece", [1, 7, 64, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pieces_cover_each_coordinate_once(monkeypatch, threads, piece, dtype):
    monkeypatch.setattr(native_module, "PIECE", piece)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    sizes = [5, 0, 64, 1, 300, 0]
    memory = torch.zeros(500, dtype=dtype)
    starts = [10, 20, 30, 110, 140, 470]
    params = [torch.nn.Parameter(memory[a : a + n]) for a, n in zip(starts, sizes, strict=True)]
    for p in params:
        p.grad = torch.ones_like(p)
    with torch.no_grad():
        for _ in range(2):
            Engine(RULES["sgd"], "compiled").step(
                [{"params": params, **RULES["sgd"].settings(lr=1.0)}], {p: {} for p in params}
            )
    expected = torch.zeros(500, dtype=dtype)
    for start, n in zip(starts, sizes, strict=True):
        expected[start : start + n] = -2
    assert_close(memory, expected, rtol=0, atol=0)


def adam(size=100, **options):
    p = torch.nn.Parameter(torch.ones(size))
    p.grad = torch.ones(size)
    optimizer = Adam([p], form="compiled", **options)
    optimizer.step()
    optimizer.step()  # the first starts the state, and is not compiled where it does
    return p, optimizer


def test_autograd_is_told_that_a_parameter_has_changed():
    p, optimizer = adam()
    loss = (p**2).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_are_read_where_they_stand_and_left_as_they_are():
    (p, optimizer), (q, other) = adam(), adam()
    for _ in range(3):
        p.grad, q.grad = torch.randn(100), None
        q.grad = p.grad.clone()
        optimizer.step()
        other.step()
        assert_close(p.grad, q.grad, rtol=0, atol=0)
    assert_close(p, q, rtol=0, atol=0)


def test_memory_that_was_exchanged_is_not_written_to():
    p, optimizer = adam()
    before, kept = p.data, p.detach().clone()
    p.data = p.detach().clone()
    optimizer.state[p]["exp_avg"] = optimizer.state[p]["exp_avg"].clone()
    optimizer.step()
    assert_close(before, kept, rtol=0, atol=0)
    assert (p != kept).all()


def test_auto_compiles_once_it_pays(monkeypatch, sources):
    monkeypatch.setattr(engine_module, "COMPILE_PAYS", 3 * 3000)
    grads = gradients([(3000,)], 5)
    start = [torch.ones(3000, dtype=torch.float64)]
    counts = []
    monkeypatch.setattr(compiled_module, "advance", lambda *xs: counts.append(1) or genuine(*xs))
    genuine = native_module.advance
    plain = stepped(RULES["adam"], start, grads)
    assert_same(stepped(RULES["adam"], start, grads, "auto"), plain, 1e-12)
    assert len(counts) == 3
    assert len(sources) == 1


def test_auto_leaves_what_c_cannot_do_in_blocks(monkeypatch):
    monkeypatch.setattr(engine_module, "COMPILE_PAYS", 0)
    monkeypatch.setattr(compiled_module, "traced", None)
    grads = gradients([(3000,)], 4)
    start = [torch.ones(3000, dtype=torch.float64)]
    assert_same(stepped(bent, start, grads, "auto"), stepped(bent, start, grads), 0)


def test_auto_never_ends_a_run_because_it_cannot_compile(monkeypatch):
    monkeypatch.setattr(engine_module, "COMPILE_PAYS", 3000)

    def no_compiler(program, lane):
        raise RuntimeError("no C compiler found\nmore")

    monkeypatch.setattr(compiled_module, "native", no_compiler)
    grads = gradients([(3000,)], 4)
    start = [torch.ones(3000, dtype=torch.float64)]
    with pytest.warns(UserWarning, match="could not be compiled.*no C compiler") as caught:
        got = stepped(RULES["adam"], start, grads, "auto")
    assert len(caught) == 1
    assert_same(got, stepped(RULES["adam"], start, grads), 0)


@traces
def test_what_c_cannot_do_is_compiled_by_pytorch_once(compiler):
    for shape in [(3000,), (40, 100), (70_001,)]:
        p = torch.nn.Parameter(torch.ones(shape))
        engine = Engine(bent, "compiled")
        with torch.no_grad():
            for step in range(3):
                p.grad = torch.ones(shape)
                engine.step([{"params": [p], **bent.settings(lr=step * 1e-3)}], {p: {}})
        assert_close(p, torch.full(shape, 1 - 3e-3 * torch.tanh(torch.ones(())).item()))
    assert compiler["unique_graphs"] == 1


@traces
def test_pytorch_compiles_other_types():
    params, grads = [torch.ones(40, dtype=torch.bfloat16)], [[torch.ones(40, dtype=torch.bfloat16)]]
    hyper = active(RULES["lion"])
    plain = stepped(RULES["lion"], params, grads * 4, **hyper)
    assert_same(stepped(RULES["lion"], params, grads * 4, "compiled", **hyper), plain, 0.05)


@traces
@pytest.mark.parametrize("name", ["adam", "rprop"])
def test_pytorchs_compiler_agrees_within_rounding(name, monkeypatch):
    monkeypatch.setattr(compiled_module, "native", lambda program, lane: None)
    one, grads = RULES[name], gradients(SHAPES, 4)
    plain = stepped(one, PARAMS, grads, **active(one))
    assert_same(stepped(one, PARAMS, grads, "compiled", **active(one)), plain, 1e-12)


STEP = """
import torch
from thalweg.optim import Adam
p = torch.nn.Parameter(torch.ones(10_000))
p.grad = torch.ones(10_000)
optimizer = Adam([p], form="compiled")
optimizer.step()
optimizer.step()
print(p[0].item())
"""

# A compiler that writes down that it was asked, and does not know the flag that we ask for first.
COMPILER = """#!/bin/sh
echo asked >> {log}
case "$*" in *-march=native*) exit 1;; esac
exec cc "$@"
"""


@pytest.mark.slow
def test_another_process_finds_what_was_compiled(tmp_path):
    log, script = tmp_path / "log", tmp_path / "compiler"
    script.write_text(COMPILER.format(log=log))
    script.chmod(0o700)
    where = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "CC": str(script)}
    runs = [
        subprocess.run([sys.executable, "-c", STEP], env=where, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert log.read_text() == "asked\n" * 2  # with the flag, and then without it
