"""Noise, dropout, early stopping, label smoothing: each is the penalty that theory says it is."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.training.regularization import (
    DropUnits,
    GaussianNoise,
    equivalent_decay,
    weight_noise,
)

DOUBLE = torch.float64
DRAWS = 40_000


def seeded(seed=0):
    torch.manual_seed(seed)


def within_error(samples, expected, errors=4.5):
    """Whether a mean of independent samples agrees with its expectation, by its own error."""
    error = samples.std().item() / math.sqrt(len(samples))
    return abs(samples.mean().item() - expected) < errors * error


# Noise.


def test_noise_on_the_inputs_of_a_linear_model_is_tikhonovs_penalty():
    seeded()
    x, w = torch.randn(5, dtype=DOUBLE), torch.randn(5, dtype=DOUBLE)
    y, sigma = 1.3, 0.4
    noise = GaussianNoise(sigma)
    losses = (noise(x.expand(DRAWS, 5)) @ w - y).square()
    assert within_error(losses, ((x @ w - y) ** 2 + sigma**2 * w.square().sum()).item())
    assert not within_error(losses, (x @ w - y).square().item()), "the penalty is there to be seen"


def test_training_with_noise_ends_at_ridge_regression():
    seeded()
    x = torch.randn(30, 4, dtype=DOUBLE)
    y = x @ torch.tensor([1.0, -2.0, 0.0, 0.5], dtype=DOUBLE) + 0.3 * torch.randn(30, dtype=DOUBLE)
    noise = GaussianNoise(0.7)
    copies = torch.cat([noise(x) for _ in range(DRAWS // 10)])
    found = torch.linalg.lstsq(copies, y.repeat(DRAWS // 10)).solution
    ridge = torch.linalg.solve(x.T @ x / 30 + 0.49 * torch.eye(4, dtype=DOUBLE), x.T @ y / 30)
    plain = torch.linalg.lstsq(x, y).solution
    assert (found - ridge).norm() < 0.02 * (plain - ridge).norm()


def test_on_a_nonlinear_model_it_is_so_to_first_order():
    # E (f(x + n) - y)^2 = (f - y)^2 + sigma^2 (f'^2 + (f - y) f'') + O(sigma^4)   (Bishop, 2.13)
    f, y, at = torch.tanh, 0.9, torch.tensor(0.6, dtype=DOUBLE)
    t = f(at).item()
    first, second = 1 - t**2, -2 * t * (1 - t**2)
    seeded()
    normal = torch.randn(DRAWS // 2, dtype=DOUBLE)
    normal = torch.cat([normal, -normal]) / normal.square().mean().sqrt()  # exact moments
    for sigma in (0.05, 0.1):
        change = (f(at + sigma * normal) - y).square().mean().item() - (t - y) ** 2
        assert change / sigma**2 == pytest.approx(first**2 + (t - y) * second, abs=4 * sigma**2)


def test_noise_on_the_weights_costs_what_the_output_depends_on_them():
    seeded()
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 1, bias=False)).double()
    x, sigma = torch.tensor([[1.0, -2.0, 0.5]], dtype=DOUBLE), 0.3
    w1, w2 = (p.detach().clone() for p in model.parameters())
    with weight_noise(model, sigma), torch.no_grad():
        outputs = torch.stack([model(x).squeeze() for _ in range(6000)])
    # Var (w2 + e)(W1 + E) x, with |E x|^2 and |e|^2 independent:
    hidden = w1 @ x.squeeze(0)
    variance = sigma**2 * (hidden.square().sum() + w2.square().sum() * x.square().sum())
    variance = variance + sigma**4 * 2 * x.square().sum()
    mean = (w2 @ hidden).item()
    assert within_error(outputs, mean)
    assert within_error((outputs - mean).square(), variance.item())


def test_noised_weights_are_trained_where_they_are():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before, names = [*model.parameters()], [*model.state_dict()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(8, 3)
    with weight_noise(model, 0.5):
        assert not torch.equal(model(x), model(x))
        model.eval()
        assert torch.equal(model(x), model(x))
        model.train()
        start = before[0].detach().clone()
        model(x).square().sum().backward()
        optimizer.step()
        assert torch.equal(before[0], start - 0.1 * before[0].grad)
    assert [id(p) for p in model.parameters()] == [id(p) for p in before]
    assert [*model.state_dict()] == names
    assert torch.equal(model(x), model(x))


def test_a_shared_weight_is_noised_wherever_it_is_used():
    words, scores = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    scores.weight = words.weight
    model, x = nn.Sequential(words, scores), torch.arange(5)
    with weight_noise(model, 0.5):
        seen = words(x).detach()
        assert not torch.equal(words(x), seen)
        assert not torch.equal(scores(seen), scores(seen))
    assert scores.weight is words.weight
    assert len([*model.parameters()]) == 1


@pytest.mark.parametrize("make", [nn.MultiheadAttention, nn.TransformerEncoderLayer])
def test_noise_reaches_attention(make):
    settings = {"dropout": 0.0, "batch_first": True}
    model, x = make(8, 2, **settings), torch.randn(2, 3, 8)
    inputs = (x, x, x) if make is nn.MultiheadAttention else (x,)
    outputs = lambda: torch.as_tensor(model(*inputs)[0])
    assert torch.equal(outputs(), outputs())
    with weight_noise(model, 0.5):
        assert not torch.equal(outputs(), outputs())


def test_weights_that_noise_would_not_reach_are_refused():
    with pytest.raises(ValueError, match="GRU reads its weights where noise does not reach"):
        weight_noise(nn.GRU(2, 2), 0.1).__enter__()
    model = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="has a parametrization already"):
        weight_noise(model, 0.1).__enter__()
    assert len(model.parametrizations.weight) == 1


# Dropout.


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 2, 3)], ids=str)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_exactly_so_many_units_of_each_example_are_dropped(shape, count):
    seeded()
    x = torch.ones(shape)
    y = DropUnits(count)(x)
    dropped = (y == 0).flatten(2).all(2) if y.dim() > 2 else y == 0
    assert dropped.sum(1).tolist() == [count] * 4
    assert_close(y[y != 0], torch.full_like(y[y != 0], 6 / (6 - count)))
    assert torch.equal(DropUnits(count).eval()(x), x)


def test_each_example_has_a_choice_of_its_own_and_all_choices_come_alike():
    seeded()
    dropped = DropUnits(2)(torch.ones(DRAWS, 4)) == 0
    pairs = torch.stack(
        [dropped[:, i] & dropped[:, j] for i, j in itertools.combinations(range(4), 2)]
    )
    shares = pairs.float().mean(1)
    assert_close(shares, torch.full((6,), 1 / 6), rtol=0, atol=4.5 * math.sqrt(5 / 36 / DRAWS))


DROPPERS = {"nn.Dropout(0.25)": nn.Dropout(0.25), "DropUnits(1) of 4": DropUnits(1)}


@pytest.mark.parametrize("dropper", DROPPERS.values(), ids=DROPPERS)
def test_inverted_scaling_keeps_the_mean(dropper):
    seeded()
    x = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)
    w = torch.tensor([0.3, 0.7, -0.2, 1.0], dtype=DOUBLE)
    outputs = dropper(x.expand(DRAWS, 4)) @ w
    assert within_error(outputs, (x @ w).item())


def test_dropout_on_a_linear_model_is_a_penalty_scaled_by_the_inputs():
    # E (y - (m * x) w / q)^2 = (y - x w)^2 + (1 - q) / q sum x_i^2 w_i^2     (Srivastava, 9.1)
    seeded()
    x, w = torch.randn(4, dtype=DOUBLE), torch.randn(4, dtype=DOUBLE)
    losses = (nn.Dropout(0.25)(x.expand(DRAWS, 4)) @ w - 1).square()
    penalty = (0.25 / 0.75) * (x * w).square().sum()
    assert within_error(losses, ((x @ w - 1) ** 2 + penalty).item())
    # A fixed number: what one unit has, the others lack, so that equal x_i w_i cost nothing.
    losses = (DropUnits(1)(x.expand(DRAWS, 4)) @ w - 1).square()
    spread = (x * w).var().item() * 4 * (1 / 3)  # sampling 3 of 4 without replacement, times 4/3
    assert within_error(losses, ((x @ w - 1) ** 2).item() + spread)


def test_evaluation_mode_is_the_geometric_mean_of_all_thinned_softmax_regressions():
    # The weight scaling rule is exact for softmax regression: Deep Learning, section 7.12.
    seeded()
    x, w = torch.randn(5, dtype=DOUBLE), torch.randn(5, 3, dtype=DOUBLE)
    dropout = nn.Dropout(0.5)
    masks = torch.tensor([*itertools.product([0.0, 2.0], repeat=5)], dtype=DOUBLE)
    ensemble = ((masks * x) @ w).log_softmax(1).mean(0).softmax(0)
    assert_close(ensemble, (dropout.eval()(x) @ w).softmax(0))
    seen = {tuple(row.tolist()) for row in dropout.train()(torch.ones(2000, 5, dtype=DOUBLE))}
    assert seen == {tuple(row.tolist()) for row in masks}, "torch's masks are those"


# Early stopping.


@pytest.mark.parametrize("curvature", [1e-6, 0.01, 0.3, 1.9])
@pytest.mark.parametrize("steps", [1, 7, 200])
def test_descent_that_is_stopped_is_where_the_penalty_leads(curvature, steps):
    lr, minimizer, w = 0.5, 3.0, 0.0
    for _ in range(steps):
        w -= lr * curvature * (w - minimizer)
    alpha = equivalent_decay(lr, steps, curvature)
    assert curvature * minimizer / (curvature + alpha) == pytest.approx(w, rel=1e-9)


def test_one_alpha_serves_all_small_curvatures():
    lr, steps = 0.01, 100
    alpha = equivalent_decay(lr, steps)
    assert alpha == 1.0  # 1 / (eta tau), equation 7.45
    assert equivalent_decay(lr, 50) == 2.0
    seeded()
    x = torch.randn(200, 5, dtype=DOUBLE) * torch.tensor([0.3, 0.2, 0.1, 0.05, 0.02])
    y = x @ torch.ones(5, dtype=DOUBLE) + 0.1 * torch.randn(200, dtype=DOUBLE)
    h, b = x.T @ x / 200, x.T @ y / 200
    w = torch.zeros(5, dtype=DOUBLE)
    for _ in range(steps):
        w = w - lr * (h @ w - b)
    ridge = torch.linalg.solve(h + alpha * torch.eye(5, dtype=DOUBLE), b)
    minimizer = torch.linalg.solve(h, b)
    assert (w - ridge).norm() < 0.05 * ridge.norm()
    assert (w - minimizer).norm() > 0.5 * minimizer.norm(), "it is stopped long before the end"


def test_all_the_way_down_is_no_penalty():
    assert equivalent_decay(0.5, 10**6, 1.0) == 0
    assert equivalent_decay(0.5, 200, 1.0) == pytest.approx(2.0**-200, rel=1e-9)


# Label smoothing.


def test_label_smoothing_is_the_cross_entropy_with_softened_targets():
    seeded()
    logits, y, e = torch.randn(6, 4, dtype=DOUBLE), torch.tensor([0, 1, 2, 3, 1, 1]), 0.2
    logs = logits.log_softmax(1)
    by_hand = -((1 - e) * logs[range(6), y] + e / 4 * logs.sum(1)).mean()
    assert_close(nn.CrossEntropyLoss(label_smoothing=e)(logits, y), by_hand)


def test_smoothed_logits_end_at_a_finite_distance():
    # The minimizer has softmax (1 - e + e/K, e/K, ...): the logits' gap is log(K (1 - e) / e + 1).
    e, k = 0.1, 4
    logits = torch.zeros(1, k, dtype=DOUBLE, requires_grad=True)
    loss = nn.CrossEntropyLoss(label_smoothing=e)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=0, tolerance_change=0)

    def closure():
        optimizer.zero_grad()
        value = loss(logits, torch.tensor([2]))
        value.backward()
        return value

    optimizer.step(closure)
    gap = (logits[0, 2] - logits[0, 0]).item()
    assert gap == pytest.approx(math.log(k * (1 - e) / e + 1), rel=1e-6)


REFUSED = {
    "GaussianNoise": lambda: GaussianNoise(-0.1),
    "DropUnits": lambda: DropUnits(-1),
    "a probability": lambda: DropUnits(0.5),
    "all units": lambda: DropUnits(3)(torch.ones(2, 3)),
    "no units": lambda: DropUnits(1)(torch.ones(3)),
    "no rate": lambda: equivalent_decay(0.0, 3),
    "no step": lambda: equivalent_decay(0.1, 0),
    "beyond the minimum": lambda: equivalent_decay(0.5, 3, 2.0),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(refused):
    with pytest.raises(ValueError):
        refused()
