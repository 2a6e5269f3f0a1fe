"""16-bit parameters: what stochastic rounding and Kahan's compensation keep."""

import copy
import io
from functools import cache

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.optim import OPTIMIZERS, SGD, Adam
from thalweg.optim.options import precision
from thalweg.optim.options.precision import stochastic

HALF = [torch.bfloat16, torch.float16]
EXACT = {"rtol": 0, "atol": 0}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def source(seed=0):
    return torch.Generator().manual_seed(seed)


# Within and below the normal range of either type, of both signs.
POINTS = [1.001, -1.001, 3.14159, 1e-3, -1e-7, 3e-8, 1e-30, -65503.0, 0.0]


@cache
def sorted_numbers(dtype):
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype).double()
    return every[every.isfinite()].unique()


def neighbours(x, dtype):
    """The two numbers of a type around x, found in the table of all its numbers."""
    every = sorted_numbers(dtype)
    at = int(torch.searchsorted(every, torch.tensor(x, dtype=torch.float64), right=True))
    return float(every[at - 1]), float(every[at])


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("x", POINTS)
def test_rounding_by_chance_is_right_on_average(dtype, x):
    count = 200_000
    exact = torch.full((count,), x, dtype=torch.float32)
    rounded = stochastic(exact, dtype, source()).double()
    low, high = neighbours(float(exact[0]), dtype)
    assert {*rounded.unique().tolist()} <= {low, high}
    part = (float(exact[0]) - low) / (high - low)
    got = (float(rounded.mean()) - low) / (high - low)
    assert abs(got - part) <= 4 * (part * (1 - part) / count) ** 0.5 + 1e-7


@pytest.mark.parametrize("dtype", HALF)
def test_what_fits_stays(dtype):
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
    assert_close(stochastic(every.float(), dtype, source()), every, equal_nan=True, **EXACT)


@pytest.mark.parametrize("dtype", HALF)
def test_beyond_the_largest_number_it_is_pytorchs_rounding(dtype):
    top = torch.finfo(dtype).max
    beyond = torch.tensor([top, 1.0001 * top, 2.0 * top]).expand(1000, 3)
    assert_close(stochastic(beyond, dtype, source()), beyond.to(dtype), **EXACT)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "kahan"])
def test_steps_below_half_a_digit_add_up(dtype, rounding):
    p = nn.Parameter(torch.ones(4000, dtype=dtype))
    optimizer = SGD([p], lr=torch.finfo(dtype).eps / 16, rounding=rounding)
    p.grad = -torch.ones_like(p)
    for _ in range(64):
        optimizer.step()
    travelled = (p.detach().double() - 1).mean() / (4 * torch.finfo(dtype).eps)
    expected = {"nearest": 0.0, "stochastic": 1.0, "kahan": 1.0}[rounding]
    # 64 roundings of variance at most eps^2 / 4 each, averaged over 4000 coordinates
    tolerance = {"nearest": 0.0, "stochastic": 4 * 8 / 2 / 4000**0.5 / 4, "kahan": 1e-6}[rounding]
    assert float(travelled) == pytest.approx(expected, abs=tolerance)


MORE = {"sgd": {"momentum": 0.9}}


def noisy_descent(make, dtype, steps=120, **options):
    """Down a noisy quadratic; the gradients are those of the float32 run, seen through dtype."""
    noise = source(3)
    start = torch.randn(24, 16, generator=source(1))
    p = nn.Parameter(start.clone().to(dtype))
    optimizer = make([p], **options)
    for _ in range(steps):
        g = p.detach().float() - 1 + 0.5 * torch.randn(p.shape, generator=noise)
        p.grad = g.to(dtype)
        optimizer.step()
    return p.detach().float(), start


def error(name, dtype, **options):
    make, more = OPTIMIZERS[name], MORE.get(name, {})
    exact, start = noisy_descent(make, torch.float32, **more)
    got, _ = noisy_descent(make, dtype, **more, **options)
    return float((got - exact).norm() / (exact - start).norm())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_bfloat16_comes_closer_to_float32_the_more_is_kept(name):
    make, more = getattr(torch.optim, OPTIMIZERS[name].__name__), MORE.get(name, {})
    exact, start = noisy_descent(make, torch.float32, **more)
    theirs = (noisy_descent(make, torch.bfloat16, **more)[0] - exact).norm()
    theirs = float(theirs / (exact - start).norm())
    nearest = error(name, torch.bfloat16)
    by_chance = error(name, torch.bfloat16, rounding="stochastic")
    kahan = error(name, torch.bfloat16, rounding="kahan")
    whole = error(name, torch.bfloat16, rounding="kahan", state_dtype=torch.float32)
    assert nearest == theirs  # bit for bit PyTorch's
    assert by_chance < nearest / 2
    assert kahan < by_chance / 2
    assert whole < 1.1 * kahan


def one_step(name, dtype, **options):
    """From numbers that both types have; the gradient is not small."""
    start = torch.linspace(-2, 2, 24).view(4, 6).bfloat16().half()
    p = nn.Parameter(start.to(dtype))
    optimizer = OPTIMIZERS[name]([p], state_dtype=torch.float32, **options)
    p.grad = torch.linspace(3, -1, 24).view(4, 6).bfloat16().half().to(dtype)
    optimizer.step()
    lost = optimizer.state[p].get("kahan_compensation", torch.zeros(()))
    return p.detach().float() + lost.float(), p.detach()


@every_optimizer
@pytest.mark.parametrize("dtype", HALF)
def test_kahan_keeps_the_float32_step_of_every_rule(name, dtype):
    kept, _ = one_step(name, dtype, rounding="kahan")
    exact, _ = one_step(name, torch.float32)
    assert_close(kept, exact, rtol=torch.finfo(dtype).eps ** 2, atol=1e-7)


@every_optimizer
@pytest.mark.parametrize("dtype", HALF)
def test_chance_chooses_a_neighbour_of_the_float32_step_of_every_rule(name, dtype):
    _, got = one_step(name, dtype, rounding="stochastic")
    exact, _ = one_step(name, torch.float32)
    for x, y in zip(got.flatten().tolist(), exact.flatten().tolist(), strict=True):
        low, high = neighbours(y, dtype)
        assert low - 1e-6 * abs(low) <= x <= high + 1e-6 * abs(high)


@every_optimizer
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "kahan"])
@pytest.mark.parametrize("kind", [None, torch.float32])
def test_types_are_kept(name, dtype, rounding, kind):
    p = nn.Parameter(torch.ones(3, 4, dtype=dtype))
    optimizer = OPTIMIZERS[name]([p], rounding=rounding, state_dtype=kind)
    for _ in range(2):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert p.dtype == dtype
    # Prodigy's first distance, squared, is below float16's smallest number.
    assert p.detach().isfinite().all() or (name, rounding) == ("prodigy", "nearest")
    own = {k: x for k, x in optimizer.state[p].items() if x.shape == p.shape}
    remainder = own.pop("kahan_compensation", None)
    assert (remainder is not None) == (rounding == "kahan")
    assert remainder is None or remainder.dtype == dtype
    kinds = {x.dtype for x in own.values() if x.is_floating_point()}
    assert kinds <= {kind or dtype, torch.float32}  # some rules keep float32 of their own accord


@pytest.mark.parametrize("rounding", ["stochastic", "kahan"])
def test_wider_parameters_beside_them_are_stepped_as_ever(rounding):
    def end(**options):
        ps = [nn.Parameter(torch.ones(n)) for n in (3, 3000)]
        ps.append(nn.Parameter(torch.ones(5, dtype=torch.bfloat16)))
        optimizer = Adam(ps, **options)
        for step in range(4):
            for p in ps:
                p.grad = torch.full_like(p, step - 1.3)
            optimizer.step()
        return [p.detach() for p in ps[:2]], optimizer.state[ps[0]]

    assert_close(end(rounding=rounding), end(), **EXACT)


def steps(optimizer, count, start=0):
    (p,) = optimizer.param_groups[0]["params"]
    for step in range(start, start + count):
        p.grad = torch.randn(p.shape, generator=source(step)).to(p.dtype)
        optimizer.step()
    return p.detach().clone()


def made(start=None, **options):
    p = torch.linspace(-2, 2, 3000).bfloat16() if start is None else start.clone()
    return Adam([nn.Parameter(p)], **options)


@pytest.mark.parametrize("rounding", ["stochastic", "kahan"])
@pytest.mark.parametrize("kind", [None, torch.float32])
@pytest.mark.parametrize("how", ["memory", "file"])
def test_a_run_resumed_is_the_run_never_interrupted(rounding, kind, how):
    options = {"rounding": rounding, "state_dtype": kind, "rounding_seed": 7}
    whole = steps(made(**options), 6)
    first = made(**options)
    middle = steps(first, 3)
    saved = copy.deepcopy(first.state_dict())
    if how == "file":
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        buffer.seek(0)
        saved = torch.load(buffer, weights_only=True)
    second = made(middle, rounding=rounding, state_dtype=kind)  # the seed is in the state
    second.load_state_dict(saved)
    assert_close(steps(second, 3, 3), whole, **EXACT)
    assert_close(steps(copy.deepcopy(second), 1, 6), steps(second, 1, 6), **EXACT)


def test_seeds_differ_and_steps_differ_and_the_users_numbers_are_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    ends = [steps(made(rounding="stochastic", rounding_seed=seed), 1) for seed in (0, 0, 1)]
    assert_close(torch.get_rng_state(), before, **EXACT)
    assert_close(ends[0], ends[1], **EXACT)
    assert not ends[0].equal(ends[2])
    optimizer = made(torch.ones(3000, dtype=torch.bfloat16), rounding="stochastic", lr=1e-3)
    (p,) = optimizer.param_groups[0]["params"]
    moved = []
    for _ in range(2):
        with torch.no_grad():
            p.fill_(1)
        p.grad = torch.ones_like(p)
        optimizer.step()
        moved.append(p.detach() != 1)
    assert not moved[0].equal(moved[1])


@pytest.mark.parametrize("rounding", ["nearest", "kahan"])
def test_pieces_of_a_large_parameter_agree_with_the_whole(rounding, monkeypatch):
    options = {"rounding": rounding, "state_dtype": torch.float32}
    whole = steps(made(**options), 3)
    monkeypatch.setattr(precision, "PIECE", 700)
    assert_close(steps(made(**options), 3), whole, **EXACT)


def test_state_may_be_narrower_than_the_parameter():
    p = nn.Parameter(torch.linspace(-2, 2, 3000))
    q = nn.Parameter(p.detach().clone())
    short, exact = Adam([p], state_dtype=torch.bfloat16, rounding="stochastic"), Adam([q])
    for _ in range(20):
        p.grad, q.grad = p.detach() - 1, q.detach() - 1
        short.step()
        exact.step()
    assert short.state[p]["exp_avg"].dtype == torch.bfloat16
    assert p.dtype == torch.float32
    assert_close(p.detach(), q.detach(), rtol=0, atol=1e-3)


def test_overflow_is_infinite_and_not_nan():
    p = nn.Parameter(torch.tensor([60000.0, 1.0], dtype=torch.float16))
    optimizer = SGD([p], lr=1.0, rounding="kahan")
    for _ in range(3):
        p.grad = torch.tensor([-60000.0, 0.0], dtype=torch.float16)
        optimizer.step()
    assert p.tolist() == [torch.inf, 1.0]


REFUSED = [
    ({"rounding": "up"}, ValueError, r"Adam\(rounding='up'\): no such choice.*nearest, stoch"),
    ({"rounding": "kahan"}, ValueError, r"Adam\(rounding='kahan'\).*\(torch.float32\).*Leave it"),
    ({"rounding": "stochastic"}, ValueError, r"no parameter is bfloat16 or float16"),
    ({"state_dtype": torch.int32}, TypeError, r"Adam\(state_dtype=torch.int32\).*torch.float32"),
    ({"state_dtype": "float32"}, TypeError, r"Adam\(state_dtype='float32'\).*floating type"),
    ({"rounding_seed": 0.5}, TypeError, r"Adam\(rounding_seed=0.5\): a seed is a whole number"),
    ({"state_dtype": torch.float32, "form": "compiled"}, ValueError, r"\(form='compiled', ...\)"),
]


@pytest.mark.parametrize(("options", "kind", "words"), REFUSED, ids=str)
def test_what_makes_no_sense_is_refused(options, kind, words):
    with pytest.raises(kind, match=words):
        Adam([nn.Parameter(torch.ones(2))], **options)


def test_state_in_float32_of_a_float32_model_is_nothing_new():
    p = nn.Parameter(torch.ones(2))
    optimizer = Adam([p], state_dtype=torch.float32)
    p.grad = torch.ones(2)
    optimizer.step()
    assert optimizer.state[p]["exp_avg"].dtype == torch.float32
