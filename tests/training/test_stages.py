"""Freezing, stages, gradient noise, averages, restarts: what they promise, what they are for."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.testing import assert_close

import thalweg.optim as ours
from thalweg.optim import PolyakAverage
from thalweg.training import fit
from thalweg.training.strategies import (
    GradientNoise,
    Snapshots,
    cycle_ends,
    frozen,
    greedy_stages,
    unfreezing_stages,
)

DOUBLE = torch.float64
OPTIMIZERS = {
    "torch.SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "torch.AdamW": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
    "ours.SGD": lambda p: ours.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "ours.AdamW": lambda p: ours.AdamW(p, lr=0.1, weight_decay=0.1),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def parts():
    torch.manual_seed(0)
    return [
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh()),
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh()),
        nn.Linear(4, 2),
    ]


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def train(model, optimizer, steps=3, zeroed=True):
    torch.manual_seed(1)
    model.train()
    for _ in range(steps):
        if zeroed:
            optimizer.zero_grad()
        model(torch.randn(6, 3)).square().sum().backward()
        optimizer.step()


# Freezing.


@every_optimizer
def test_what_is_frozen_stays_bit_for_bit_and_so_does_its_state(make):
    first, middle, last = parts()
    model = nn.Sequential(first, middle, last)
    optimizer = make(model.parameters())
    train(model, optimizer)  # momentum, and gradients that are there when the block begins
    before, others = copied(first), copied(last)
    kept = {
        p: {k: torch.clone(torch.as_tensor(v)) for k, v in optimizer.state[p].items()}
        for p in first.parameters()
    }
    with frozen(first):
        train(model, optimizer, zeroed=False)
    assert same(before, copied(first)), "batch norm's statistics included"
    assert not same(others, copied(last))
    for p, state in kept.items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(optimizer.state[p][name]), value), name
    train(model, optimizer)
    assert not any(torch.equal(before[name], value) for name, value in copied(first).items())


def test_freedom_is_given_back_as_it_was_even_after_an_error():
    first, _, last = parts()
    first[0].bias.requires_grad_(False)
    block = frozen(first, last)
    block.__enter__()
    assert not any(p.requires_grad for p in [*first.parameters(), *last.parameters()])
    with pytest.raises(KeyError):
        block.gen.throw(KeyError)
    free = {name: p.requires_grad for name, p in first.named_parameters()}
    assert free == {"0.weight": True, "0.bias": False, "1.weight": True, "1.bias": True}
    assert first[1].training
    assert not first[1]._forward_pre_hooks
    assert not first[1]._forward_hooks


def test_frozen_statistics_are_used_as_in_evaluation():
    norm = nn.BatchNorm1d(2)
    x = 3 + torch.randn(50, 2)
    with frozen(norm):
        assert_close(norm(x), x, rtol=0, atol=1e-4)  # statistics 0 and 1, as they began
        assert norm.training
        with pytest.raises(ValueError, match="2D or 3D"):
            norm(torch.ones(2))
        assert norm.training, "after an error too"
    assert norm(x).mean().abs() < 1e-5


# Stages.


def test_greedy_stages_train_one_layer_each_on_top_of_frozen_ones():
    layers = parts()[:2]
    heads, seen = [], []

    def head(k):
        heads.append(nn.Linear(4, 2))
        return heads[k]

    for k, model in enumerate(greedy_stages(layers, head)):
        before = [copied(layer) for layer in layers]
        train(model, torch.optim.AdamW(model.parameters(), lr=0.1))
        seen.append([same(b, copied(layer)) for b, layer in zip(before, layers, strict=True)])
        assert model[-1] is heads[k]
        assert len(model) == k + 2
    assert seen == [[False, True], [True, False]]
    assert all(p.requires_grad for layer in layers for p in layer.parameters())


@every_optimizer
def test_parts_are_freed_from_the_last_to_the_first(make):
    found = parts()
    model = nn.Sequential(*found)
    optimizer = make(model.parameters())
    moved = []
    for free in unfreezing_stages(found):
        before = [copied(part) for part in found]
        train(model, optimizer)
        moved.append([not same(b, copied(part)) for b, part in zip(before, found, strict=True)])
        assert free == [part for part, went in zip(found, moved[-1], strict=True) if went]
    assert moved == [[False, False, True], [False, True, True], [True, True, True]]


def test_stages_that_are_left_early_leave_nothing_frozen():
    found = parts()
    for _ in unfreezing_stages(found):
        break
    assert all(p.requires_grad for part in found for p in part.parameters())


def final_loss(seed, pretrained):
    """Loss on digits of six sigmoid layers, after as many steps with stages and without."""
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    torch.manual_seed(seed)
    widths = [64, 32, 32, 32, 32, 32]
    layers = [nn.Sequential(nn.Linear(a, b), nn.Sigmoid()) for a, b in pairwise(widths)]

    def run(model, steps):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        for _ in range(steps):
            rows = torch.randint(len(y), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()

    stage = 100
    if pretrained:
        for model in greedy_stages(layers, lambda _: nn.Linear(32, 10)):
            run(model, stage)
    whole = nn.Sequential(*layers, nn.Linear(32, 10))
    run(whole, 200 if pretrained else 200 + stage * len(layers))
    with torch.no_grad():
        return nn.functional.cross_entropy(whole(x), y).item()


def test_greedy_pretraining_trains_what_does_not_train_from_scratch():
    for seed in range(2):
        assert final_loss(seed, pretrained=False) > 2.2, "chance is log 10 = 2.30"
        assert final_loss(seed, pretrained=True) < 1.0


# Gradient noise.


@every_optimizer
def test_noise_is_added_for_the_step_and_taken_away_after_it(make):
    w = torch.zeros(3, requires_grad=True)
    optimizer = make([w])
    GradientNoise(optimizer, eta=1.0)
    own = w.grad = torch.zeros(3)
    optimizer.step()
    assert w.grad is own
    assert own.count_nonzero() == 0
    assert w.count_nonzero() == 3


def test_the_noise_has_the_papers_variance_at_each_step():
    n, eta, gamma = 40_000, 0.3, 0.55
    w = torch.zeros(n, dtype=DOUBLE, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)
    GradientNoise(optimizer, eta, gamma, seed=3)
    w.grad = torch.full_like(w, 2.0)
    for t in range(5):
        before = w.detach().clone()
        optimizer.step()
        noise = (before - w.detach()) - 2.0
        expected = eta / (1 + t) ** gamma
        assert abs(noise.mean()) < 4.5 * (expected / n) ** 0.5
        assert abs(noise.var() / expected - 1) < 4.5 * (2 / n) ** 0.5


def test_noise_on_a_sparse_gradient_is_refused():
    words = nn.Embedding(5, 3, sparse=True)
    optimizer = torch.optim.SGD(words.parameters(), lr=0.1)
    GradientNoise(optimizer)
    words(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse=False"):
        optimizer.step()


@every_optimizer
def test_noise_resumes_with_its_optimizer(make):
    def started(seed):
        w = torch.ones(3, requires_grad=True)
        optimizer = make([w])
        return w, optimizer, GradientNoise(optimizer, seed=seed)

    def go(w, optimizer, steps):
        for _ in range(steps):
            w.grad = w.detach().clone()
            optimizer.step()

    w, optimizer, _ = started(1)
    go(w, optimizer, 5)
    saved, at = copy.deepcopy(optimizer.state_dict()), w.detach().clone()
    go(w, optimizer, 5)
    other, resumed, noise = started(2)
    resumed.load_state_dict(saved)
    other.data.copy_(at)
    go(other, resumed, 5)
    assert torch.equal(other, w)
    assert noise.steps == 10
    make([torch.ones(3, requires_grad=True)]).load_state_dict(saved)  # without noise: no harm


def test_fit_resumes_noise_bit_for_bit(tmp_path):
    x, y = torch.randn(20, 2), torch.randn(20, 1)

    def trained(epochs, **settings):
        torch.manual_seed(5)
        model = nn.Linear(2, 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        GradientNoise(optimizer, seed=3)
        fit(model, nn.functional.mse_loss, (x, y), None, optimizer, epochs=epochs, **settings)
        return model.weight

    once = trained(4)
    trained(2, checkpoint=tmp_path / "c")
    assert torch.equal(trained(4, checkpoint=tmp_path / "c"), once)


@every_optimizer
@pytest.mark.parametrize("by_name", [False, True])
def test_a_closure_gets_the_noise_that_a_plain_step_gets(make, by_name):
    def run(closed):
        w = torch.ones(3, requires_grad=True)
        optimizer = make([w])
        GradientNoise(optimizer, seed=4)

        def closure():
            optimizer.zero_grad()
            loss = w.square().sum()
            loss.backward()
            return loss

        for _ in range(3):
            if closed:
                optimizer.step(**{"closure": closure}) if by_name else optimizer.step(closure)
            else:
                closure()
                optimizer.step()
            assert w.grad.count_nonzero() == 3
        return w

    assert torch.equal(run(True), run(False))


def test_each_evaluation_in_a_step_has_the_same_noise():
    w = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], lr=0.1, max_iter=3, tolerance_change=0)
    GradientNoise(optimizer, seed=4)
    seen = []

    def closure():
        if w.grad is not None:
            seen.append(w.grad.clone())
        w.grad = torch.zeros(3)
        return torch.ones(())

    optimizer.step(closure)
    assert len(seen) == 2, "what the first two of three evaluations were given"
    assert seen[0].count_nonzero() == 3
    assert torch.equal(*seen)


def test_noise_of_no_variance_that_there_is_is_refused():
    with pytest.raises(ValueError, match="both are 0 or more"):
        GradientNoise(torch.optim.SGD([torch.ones(1, requires_grad=True)]), eta=-1.0)


def test_noise_leads_out_of_a_saddle_where_there_is_no_gradient():
    reached = []
    for eta in (0.0, 0.01):
        w = torch.zeros(2, dtype=DOUBLE, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        GradientNoise(optimizer, eta)
        for _ in range(300):
            optimizer.zero_grad()
            ((1 - w[0] * w[1]) ** 2).backward()  # LeCun's net of two weights: a saddle at 0
            optimizer.step()
        reached.append(((1 - w[0] * w[1]) ** 2).item())
    assert reached[0] == 1.0
    assert reached[1] < 0.01


# Polyak's average.


def test_polyaks_average_attains_the_optimal_variance():
    # T Cov(mean) -> H^-1 S H^-1, the least that any method can have; the last iterate's variance
    # lr s^2 / (lambda (2 - lr lambda)) does not fall at all (Polyak & Juditsky, 1992, theorem 1).
    torch.manual_seed(0)
    curvatures = torch.tensor([0.2, 1.0, 5.0], dtype=DOUBLE)
    deviations = torch.tensor([1.0, 2.0, 0.5], dtype=DOUBLE)
    runs, steps, lr = 3000, 2000, 0.2
    last = lr * deviations**2 / (curvatures * (2 - lr * curvatures))
    w = (last.sqrt() * torch.randn(runs, 3, dtype=DOUBLE)).requires_grad_()
    optimizer = torch.optim.SGD([w], lr=lr)
    average = PolyakAverage(optimizer)
    for _ in range(steps):
        noise = deviations * torch.randn(runs, 3, dtype=DOUBLE)
        w.grad = curvatures * w.detach() + noise
        optimizer.step()
    ((_, mean),) = average.averages()
    error = 4.5 * (2 / runs) ** 0.5
    optimal = (deviations / curvatures) ** 2 / steps
    # With a = 1 - lr lambda, the part that is still missing is 2 a / (1 - a^2) / T of it.
    a = 1 - lr * curvatures
    finite = 1 - 2 * a / (1 - a**2) / steps
    assert_close(
        mean.square().mean(0) / (optimal * finite), torch.ones(3).double(), rtol=0, atol=error
    )
    assert_close(w.detach().square().mean(0) / last, torch.ones(3).double(), rtol=0, atol=error)
    assert (last > 10 * optimal).all()


# Warm restarts.


def test_pytorchs_warm_restarts_are_the_papers_schedule_and_end_where_we_say():
    w = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, 2, eta_min=0.1)
    rates = []
    for _ in range(35):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [
        0.1 + 0.1 * (1 + math.cos(math.pi * at / length))
        for length in (5, 10, 20)
        for at in range(length)
    ]
    assert rates == pytest.approx(expected)
    ends = cycle_ends(5, 2, cycles=3)
    assert ends == [5, 15, 35]
    assert [rates[end % 35] for end in ends] == pytest.approx([0.3] * 3), "each is followed by one"
    assert cycle_ends(4, 1, cycles=3) == [4, 8, 12]


def snapped():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    snapshots, kept = Snapshots(optimizer, model, at=cycle_ends(2, 2, cycles=2)), []
    for step in range(1, 8):
        train(model, optimizer, steps=1)
        if step in (2, 6):
            kept.append(copied(model))
    return model, snapshots, kept


def test_snapshots_are_the_model_at_the_ends_of_cycles():
    model, snapshots, kept = snapped()
    assert len(snapshots.states) == 2
    assert all(same(one, other) for one, other in zip(kept, snapshots.states, strict=True))
    x, now = torch.randn(5, 3), copied(model)
    model.eval()
    found = snapshots.outputs(x)
    assert same(now, copied(model))
    for state, output in zip(kept, found, strict=True):
        model.load_state_dict(state)
        assert torch.equal(output, model(x))
    resumed = Snapshots(torch.optim.SGD(model.parameters(), lr=0.1), model, at=[9])
    resumed.load_state_dict(snapshots.state_dict())
    assert torch.equal(resumed.outputs(x), found)
    assert resumed.steps == 7


@every_optimizer
def test_snapshots_resume_with_their_optimizer(make):
    def started():
        model = nn.Sequential(*parts())
        optimizer = make(model.parameters())
        return model, optimizer, Snapshots(optimizer, model, at=[1, 3])

    model, optimizer, whole = started()
    train(model, optimizer, steps=2)
    saved, weights = copy.deepcopy(optimizer.state_dict()), copied(model)
    shared = optimizer.state_dict()["snapshots"]["states"]
    train(model, optimizer, steps=2)
    assert len(shared) == 1, "what was taken does not grow"
    other, resumed, snapshots = started()
    other.load_state_dict(weights)
    resumed.load_state_dict(saved)
    train(other, resumed, steps=2)
    assert len(snapshots.states) == 2
    assert all(same(*pair) for pair in zip(whole.states, snapshots.states, strict=True))
    make(nn.Sequential(*parts()).parameters()).load_state_dict(saved)  # without: no harm


def test_fit_resumes_snapshots(tmp_path):
    x, y = torch.randn(20, 3), torch.randn(20, 2)

    def kept(epochs, **settings):
        model = nn.Sequential(*parts())
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        snapshots = Snapshots(optimizer, model, at=[1, 4])
        fit(model, nn.functional.mse_loss, (x, y), None, optimizer, epochs=epochs, **settings)
        return snapshots.outputs(x)

    once = kept(4)
    kept(2, checkpoint=tmp_path / "c")
    assert torch.equal(kept(4, checkpoint=tmp_path / "c"), once)


def test_snapshots_are_evaluated_as_such_and_stay_as_they_are():
    model, snapshots, kept = snapped()
    model.append(nn.Dropout(0.5))
    model.train()
    model[1].eval()
    found = snapshots.outputs(torch.ones(5, 3))
    assert torch.equal(found, snapshots.outputs(torch.ones(5, 3)))
    assert all(same(one, other) for one, other in zip(kept, snapshots.states, strict=True))
    assert not found.requires_grad
    assert [part.training for part in model] == [True, False, True, True, True]


def test_the_mean_prediction_is_no_worse_than_the_mean_of_the_losses():
    _, snapshots, _ = snapped()
    x, y = torch.randn(50, 3), torch.randint(2, (50,))
    logs = snapshots.outputs(x).log_softmax(-1)
    each = torch.stack([nn.functional.nll_loss(one, y) for one in logs])
    assert nn.functional.nll_loss(logs.exp().mean(0).log(), y) < each.mean()


def test_without_a_snapshot_there_is_no_output():
    model = nn.Linear(1, 1)
    snapshots = Snapshots(torch.optim.SGD(model.parameters()), model, at=[3])
    with pytest.raises(ValueError, match="no copy after 0 steps; the first is made after 3"):
        snapshots.outputs(torch.ones(1, 1))
    with pytest.raises(ValueError, match="each is 1 or more"):
        cycle_ends(0, 1, 1)
