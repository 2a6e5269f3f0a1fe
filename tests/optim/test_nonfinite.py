"""NaN and infinity in gradients: pass, skip or raise, for every optimizer."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.optim import OPTIMIZERS, SGD, Adam

BAD = [math.nan, math.inf, -math.inf]
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def pair(name, **options):
    """An optimizer that has made a step, and what it then holds."""
    params = [nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.ones(5, 2))]
    optimizer = OPTIMIZERS[name](params, **options)
    for p in params:
        p.grad = torch.linspace(-1, 2, p.numel()).view_as(p)
    optimizer.step()
    return params, optimizer, copy.deepcopy(held(params, optimizer))


def held(params, optimizer):
    return [params, optimizer.state_dict()["state"]]


@every_optimizer
@pytest.mark.parametrize("bad", BAD)
def test_a_skipped_step_moves_nothing_and_is_counted(name, bad):
    params, optimizer, before = pair(name, nonfinite="skip")
    params[1].grad[0, 0] = bad
    optimizer.step()
    optimizer.step()
    assert_close(held(params, optimizer), before, rtol=0, atol=0)
    assert optimizer.skipped_steps == 2
    params[1].grad[0, 0] = 1.0
    optimizer.step()
    assert optimizer.skipped_steps == 2


@every_optimizer
def test_an_error_names_the_parameter_and_moves_nothing(name):
    params, optimizer, before = pair(name, nonfinite="raise")
    params[1].grad[0] = torch.tensor([math.nan, math.inf])
    words = r"step\(\): the gradient of parameter 1 of group 0 holds 1 NaN and 1 infinite.* of 10\."
    with pytest.raises(RuntimeError, match=words):
        optimizer.step()
    assert_close(held(params, optimizer), before, rtol=0, atol=0)


@every_optimizer
def test_finite_gradients_are_stepped_as_ever(name):
    ends = [held(*pair(name, nonfinite=policy)[:2]) for policy in ("pass", "skip", "raise")]
    assert_close(ends[1], ends[0], rtol=0, atol=0)
    assert_close(ends[2], ends[0], rtol=0, atol=0)


def test_the_default_passes_as_pytorch_does():
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.tensor([math.nan, 1.0])
    SGD([p], lr=1.0).step()
    assert p.detach().isnan().tolist() == [True, False]


def test_names_stand_in_the_error_and_many_are_cut_short():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    optimizer = SGD(net.named_parameters(), nonfinite="raise")
    for p in net.parameters():
        p.grad = torch.full_like(p, math.nan)
    said = r"'0.weight' holds 6 NaN.*'1.weight'.*and so do 3 more"
    with pytest.raises(RuntimeError, match=said) as error:
        optimizer.step()
    assert "'1.bias'" not in str(error.value)


# Their squares, their sums or their size overflow; themselves they are finite.
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1e38, torch.float32),
        (1e300, torch.float64),
        (complex(3e38, 3e38), torch.complex64),
    ],
)
def test_large_gradients_are_not_taken_for_infinite(value, dtype):
    p = nn.Parameter(torch.zeros(3000, dtype=dtype))
    p.grad = torch.full_like(p, value)
    optimizer = SGD([p], lr=1.0, nonfinite="skip")
    optimizer.step()
    assert optimizer.skipped_steps == 0
    assert p[0] == -p.grad[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64])
def test_every_type_is_looked_at(dtype):
    p, other = nn.Parameter(torch.zeros(3, dtype=dtype)), nn.Parameter(torch.zeros(()))
    optimizer = SGD([p, nn.Parameter(torch.zeros(0)), other], nonfinite="skip")
    other.grad = torch.ones(())
    p.grad = torch.tensor([1.0, 1.0, complex(1, math.nan) if dtype.is_complex else math.nan]).to(
        dtype
    )
    optimizer.step()
    assert optimizer.skipped_steps == 1
    assert other == 0


def test_no_gradients_at_all_are_finite():
    optimizer = Adam([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(0))], nonfinite="skip")
    optimizer.param_groups[0]["params"][1].grad = torch.ones(0)
    optimizer.step()
    assert optimizer.skipped_steps == 0


def test_a_closures_loss_is_returned_by_a_skipped_step():
    p = nn.Parameter(torch.ones(2))
    optimizer = SGD([p], nonfinite="skip")

    def closure():
        loss = (p * math.nan).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).isnan()
    assert p.tolist() == [1.0, 1.0]


def test_copies_keep_policy_and_count():
    params, optimizer, _ = pair("adam", nonfinite="skip")
    params[0].grad[0] = math.inf
    optimizer.step()
    twin = copy.deepcopy(optimizer)
    assert twin.skipped_steps == 1
    for p in twin.param_groups[0]["params"]:
        p.grad = torch.full_like(p, math.nan)
    twin.step()
    assert (twin.skipped_steps, optimizer.skipped_steps) == (2, 1)


def test_a_grad_scaler_and_the_policy_count_apart():
    p = nn.Parameter(torch.ones(2))
    optimizer, scaler = SGD([p], nonfinite="skip"), torch.amp.GradScaler("cpu")
    scaler.scale((p * torch.inf).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert optimizer.skipped_steps == 0  # the scaler did not ask for a step
    assert p.tolist() == [1.0, 1.0]


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match=r"SGD\(nonfinite='skpi'\): no such choice.*'skip'"):
        SGD([nn.Parameter(torch.ones(1))], nonfinite="skpi")
