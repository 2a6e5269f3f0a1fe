"""The recursions against the methods run step by step, and against PyTorch's optimizers."""

import math

import pytest
import torch

from thalweg.curvature.methods import Method

METHODS = [
    ("gradient-descent", 0.0, lambda p, lr, b: torch.optim.SGD([p], lr=lr)),
    ("momentum", 0.9, lambda p, lr, b: torch.optim.SGD([p], lr=lr, momentum=b)),
    ("momentum", 0.3, lambda p, lr, b: torch.optim.SGD([p], lr=lr, momentum=b)),
    ("nesterov", 0.9, lambda p, lr, b: torch.optim.SGD([p], lr=lr, momentum=b, nesterov=True)),
    ("nesterov", 0.5, lambda p, lr, b: torch.optim.SGD([p], lr=lr, momentum=b, nesterov=True)),
]
CASES = pytest.mark.parametrize(("name", "b", "made"), METHODS)


def measured_factor(made, lr, b, curvature, steps=4000):
    """The mean factor a step of PyTorch's optimizer on curvature / 2 * p^2, in float64."""
    p = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer = made(p, lr, b)
    grown = 0.0
    for _ in range(steps):
        p.grad = curvature * p.detach()
        optimizer.step()
        size = float(p.detach().abs())
        if size > 1e100 or 0 < size < 1e-100:  # rescale: all of it is linear
            grown += math.log(size)
            for own in optimizer.state.values():
                if own.get("momentum_buffer") is not None:
                    own["momentum_buffer"] /= size
            p.data /= size
    return math.exp((grown + math.log(max(float(p.detach().abs()), 1e-300))) / steps)


@CASES
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9, 1.1])
def test_factor_is_the_one_that_pytorchs_optimizer_shows(name, b, made, share):
    method = Method(name, b)
    x = share * method.limit
    expected = measured_factor(made, x / 3.0, b, 3.0)
    assert method.factor(x) == pytest.approx(expected, rel=5e-3)


@CASES
def test_limit_is_where_the_factor_crosses_one(name, b, made):
    method = Method(name, b)
    assert method.factor(method.limit * (1 - 1e-9)) < 1
    assert method.factor(method.limit * (1 + 1e-9)) > 1
    assert method.factor(method.limit) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("name", "b"), [(n, b) for n, b, _ in METHODS] + [("adam", 0.9)])
def test_fastest_is_the_middle_of_the_minimizers_of_the_factor(name, b):
    method = Method(name, b)
    least = method.factor(method.fastest)
    rates = [method.limit * i / 4000 for i in range(1, 4000)]
    assert all(method.factor(x) >= least - 1e-12 for x in rates)
    best = [x for x in rates if method.factor(x) <= least + 1e-9] or [method.fastest]
    assert (best[0] + best[-1]) / 2 == pytest.approx(method.fastest, rel=1e-3)


def test_adam_limit_is_thirty_eight_at_the_usual_momentum():
    assert Method("adam", 0.9).limit == pytest.approx(38)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("adagrad",), "give one of"),
        (("momentum", 1.0), r"\[0, 1\)"),
        (("momentum", -0.1), r"\[0, 1\)"),
        (("gradient-descent", 0.9), "method='momentum'"),
    ],
)
def test_what_is_not_a_method_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Method(*arguments)
