"""A penalty beside the loss: its Hessian in some matrices, the samples' shares of it in others."""

from functools import partial

import pytest
import torch
from jacobian_references import flat, output_of, sample_gradients
from networks import SIZES, dense_hessian, mlp, normal, relative, trainable
from torch import nn
from torch.nn import functional as F

from thalweg.linalg import cg
from thalweg.operators import (
    EmpiricalFisher,
    Fisher,
    GaussNewton,
    GradientCovariance,
    Hessian,
    MonteCarloFisher,
)

BY_HESSIAN = [GaussNewton, Fisher, MonteCarloFisher]
BY_SAMPLES = [EmpiricalFisher, GradientCovariance]


def decay(params):
    """Of weights alone."""
    return 0.05 * sum(w.square().sum() for w in params.values() if w.dim() > 1)


def quartic(params):
    return sum((w**4).sum() for w in params.values())


def absolute(params):
    return 0.1 * sum(w.abs().sum() for w in params.values())


def concave(params):
    return -0.3 * params["0.bias"].square().sum()


def coupled(params):
    """Convex, with entries off the diagonal, between layers too."""
    return (params["0.weight"].sum() + params["2.bias"].sum()) ** 2


def rows(params):
    """Convex, coupled within the rows of one weight."""
    return (1 + params["0.weight"].square().sum(1)).sqrt().sum()


# With what is known of them.
PENALTIES = {
    decay: {"psd"},
    quartic: {"psd"},
    absolute: {"psd"},
    concave: set(),
    coupled: set(),
    rows: set(),
}


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kind", BY_HESSIAN)
def test_its_hessian_is_added_once(kind, penalty):
    model, loss, data = mlp()
    params = trainable(model)
    plain = kind.of_model(model, loss, data)
    operator = kind.of_model(model, loss, data, penalty=penalty)
    expected = plain.to_dense() + dense_hessian(penalty, params)
    assert relative(operator.to_dense(), expected) < 1e-14
    assert operator.loss == pytest.approx(plain.loss + float(penalty(params).detach()), rel=1e-14)
    assert operator.facts == PENALTIES[penalty]


@pytest.mark.parametrize("kind", BY_HESSIAN)
def test_it_is_made_again_where_nothing_may_be_kept(kind):
    model, loss, data = mlp()
    kept = kind.of_model(model, loss, data, penalty=rows)
    again = kind.of_model(model, loss, data, penalty=rows, memory=0)
    assert torch.equal(again.to_dense(), kept.to_dense())


def test_a_system_with_weight_decay_is_solved_by_conjugate_gradients():
    """Without the fact "psd" cg would refuse."""
    model, loss, data = mlp()
    operator = GaussNewton.of_model(model, loss, data, penalty=partial(squares, rate=0.1))
    solution = cg(operator, operator.gradient, tol=1e-12)
    expected = torch.linalg.solve(operator.to_dense(), operator.gradient)
    assert relative(solution.x, expected) < 1e-10


def squares(params, rate):
    return rate * sum(w.square().sum() for w in params.values())


def penalized_gradients(model, loss, data, penalty, share):
    """(N, n): of each sample's loss and its share of the penalty, batches of one."""
    params, found = trainable(model), []
    for x, y in data:
        for n in range(len(x)):
            one = slice(n, n + 1)
            value = loss(output_of(model, (x[one], y[one]))(params), y[one])
            value = value + share * penalty(params)
            found.append(flat(torch.autograd.grad(value, list(params.values()))))
    return torch.stack(found)


@pytest.mark.parametrize("penalty", [decay, coupled])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("memory", [None, 0])
def test_each_sample_has_its_share_of_it(penalty, reduction, memory):
    """The samples' gradients add up to that of the whole, penalty included."""
    model, _, data = mlp()
    count = sum(SIZES)
    share, divisor = (1, count) if reduction == "mean" else (1 / count, 1)
    g = penalized_gradients(model, F.cross_entropy, data, penalty, share)
    loss = nn.CrossEntropyLoss(reduction=reduction)
    operator = EmpiricalFisher.of_model(model, loss, data, penalty=penalty, memory=memory)
    expected = g.T @ g / divisor
    assert relative(operator.to_dense(), expected) < 1e-13
    assert relative(operator @ operator.gradient, expected @ operator.gradient) < 1e-13
    assert relative(operator.gradient, g.sum(0) / divisor) < 1e-13
    assert operator.exact_trace() == pytest.approx(float(expected.trace()), rel=1e-13)
    assert operator.facts == {"psd"}


def test_the_shares_of_samples_that_weigh_more_than_one():
    """Means over tokens: T of them in N sequences, and the loss of a sequence is their sum."""
    model, data = mlp()[0], [(normal(n, 4), torch.randint(0, 3, (n,))) for n in (3, 2)]
    g = penalized_gradients(model, F.cross_entropy, data, decay, share=0)
    h = penalized_gradients(model, F.cross_entropy, data, decay, share=1) - g
    tokens = 4
    operator = EmpiricalFisher.of_model(
        model, F.cross_entropy, data, penalty=decay, samples=lambda batch: tokens * len(batch[1])
    )
    parts = tokens * (g + h)
    assert relative(operator.to_dense(), parts.T @ parts / (tokens * len(g))) < 1e-13


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("memory", [None, 0])
def test_it_leaves_the_covariance_and_moves_the_mean(reduction, memory):
    """Even a penalty whose gradient is a million times the samples'."""
    model, loss, data = mlp()
    g = sample_gradients(model, loss, data, trainable(model))
    h = 2e6 * torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    operator = GradientCovariance.of_model(
        model,
        nn.CrossEntropyLoss(reduction=reduction),
        data,
        penalty=partial(squares, rate=1e6),
        memory=memory,
    )
    expected = torch.cov(g.T, correction=0)
    assert relative(operator.to_dense(), expected) < 1e-12
    data_gradient = g.mean(0) if reduction == "mean" else g.sum(0)
    assert relative(operator.gradient, data_gradient + h) < 1e-14


@pytest.mark.parametrize("kind", [*BY_HESSIAN, *BY_SAMPLES])
def test_loss_and_gradient_elsewhere_have_it(kind):
    model, loss, data = mlp()
    operator = kind.of_model(model, loss, data, penalty=rows)
    reference = Hessian.of_model(model, loss, data, penalty=rows)
    by = normal(operator.size)
    assert operator.loss_at(by) == pytest.approx(reference.loss_at(by), rel=1e-13)
    assert relative(operator.gradient_at(by), reference.gradient_at(by)) < 1e-13
    assert relative(operator.gradient, reference.gradient) < 1e-13


@pytest.mark.parametrize("kind", [Hessian, *BY_HESSIAN, *BY_SAMPLES])
def test_every_operator_takes_the_same_options(kind):
    model, _, data = mlp()
    loss = nn.CrossEntropyLoss(reduction="sum")
    operator = kind.of_model(
        model,
        loss,
        data,
        params=["2.weight"],
        penalty=quartic,
        reduction="sum",
        samples=lambda batch: len(batch[1]),
        memory=1e9,
        check=False,
        group=None,
    )
    assert operator.layout.names == ("2.weight",)
    with pytest.raises(TypeError, match="penality"):
        kind.of_model(model, loss, data, penality=quartic)
