"""`fit` beside the loop that a person would write, and what the courses claim of batches."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

from thalweg.optim import (
    SAM,
    SGD,
    Adam,
    ExponentialAverage,
    NaturalGradient,
    NewtonCG,
    PolyakAverage,
    SGDScheduleFree,
    StochasticWeightAverage,
)
from thalweg.training import ClipNorm, ClipValue, fit
from thalweg.training.batches import Drawn, source_of
from thalweg.training.stopping import Stopping


def data(count=70, seed=0):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=source, dtype=torch.float64)
    noise = 0.3 * torch.randn(count, generator=source, dtype=torch.float64)
    return x, (x[:, 0] - 0.5 * x[:, 1] + noise > 0).long()


def network(*, normalized=False, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    middle = [nn.BatchNorm1d(6)] if normalized else []
    middle += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(nn.Linear(4, 6), *middle, nn.Tanh(), nn.Linear(6, 2)).double()


def sgd(model, **options):
    return SGD(model.parameters(), lr=0.1, **options)


def wrong(outputs, targets):
    return outputs.argmax(1) != targets


@torch.no_grad()
def loss_of(model, x, y):
    return F.cross_entropy(model(x), y).item()


def values(model):
    return {name: x.clone() for name, x in model.state_dict().items()}


# The same numbers as a loop written by hand.


@pytest.mark.parametrize("size", [1, 16, "all"])
@pytest.mark.parametrize("shuffle", ["each-epoch", "once", "never"])
def test_it_is_the_loop_of_the_course(size, shuffle):
    x, y = data()
    ours, theirs = network(), network()
    fitted = fit(
        ours, F.cross_entropy, (x, y), None, sgd(ours), epochs=3, seed=5,
        batch_size=size, shuffle=shuffle,
    )  # fmt: skip
    source = source_of((x, y), size, shuffle, seed=5)
    optimizer, losses = torch.optim.SGD(theirs.parameters(), lr=0.1), []
    for epoch in range(3):
        for rows in source.order(epoch).split(70 if size == "all" else size):
            optimizer.zero_grad()
            loss = F.cross_entropy(theirs(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert_close(values(ours), values(theirs), rtol=1e-12, atol=1e-12)
    assert_close(fitted.losses, losses, rtol=1e-12, atol=1e-12)
    assert fitted.samples == 3 * 70
    assert [epoch.samples for epoch in fitted.epochs] == [70, 140, 210]


@pytest.mark.parametrize("shuffle", ["each-epoch", "once", "never"])
def test_every_epoch_has_every_sample_once(shuffle):
    source = Drawn(None, 50, 8, shuffle, seed=1)
    orders = [source.order(epoch).tolist() for epoch in range(4)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    distinct = {tuple(order) for order in orders}
    assert len(distinct) == (4 if shuffle == "each-epoch" else 1)
    assert (orders[0] == list(range(50))) == (shuffle == "never")


def test_shuffling_is_even():
    """Over many epochs a sample comes to every place alike: chi-squared over 6 x 6 cells."""
    counts = torch.zeros(6, 6)
    for epoch in range(3000):
        counts[torch.arange(6), Drawn(None, 6, 2, "each-epoch", seed=3).order(epoch)] += 1
    expected = 3000 / 6
    chi = float(((counts - expected) ** 2 / expected).sum())
    assert chi < 52.6  # the 0.999 quantile for 25 degrees of freedom


@pytest.mark.parametrize("kind", ["pair", "dataset", "loader", "list"])
def test_all_kinds_of_data_are_the_same(kind):
    x, y = data(64)
    loader = DataLoader(TensorDataset(x, y), batch_size=16)
    kinds = {"pair": (x, y), "dataset": TensorDataset(x, y), "loader": loader, "list": list(loader)}
    own = {} if kind in ("loader", "list") else {"batch_size": 16, "shuffle": "never"}
    model, reference = network(), network()
    found = fit(model, F.cross_entropy, kinds[kind], kinds[kind], sgd(model), metric=wrong, **own)
    same = fit(
        reference, F.cross_entropy, (x, y), (x, y), sgd(reference), metric=wrong,
        batch_size=16, shuffle="never",
    )  # fmt: skip
    assert_close(values(model), values(reference), rtol=1e-12, atol=1e-12)
    assert [e.validation_metric for e in found.epochs] == pytest.approx(
        [e.validation_metric for e in same.epochs], abs=1e-12
    )


@pytest.mark.parametrize("sizes", [(12, 4), (7, 3), (70, 9)])
def test_accumulated_gradients_are_those_of_the_large_batch(sizes):
    """Also where the last batch, or the last step, is smaller."""
    small, times = sizes
    one, many = network(), network()
    penalty = lambda model: 0.1 * sum((p**2).sum() for p in model.parameters())
    options = {"epochs": 2, "shuffle": "once", "seed": 2, "penalty": penalty, "clip": ClipNorm(0.3)}
    large = fit(one, F.cross_entropy, data(), None, sgd(one), batch_size=small * times, **options)
    spread = fit(
        many, F.cross_entropy, data(), None, sgd(many), batch_size=small, accumulate=times,
        **options,
    )  # fmt: skip
    assert_close(values(one), values(many), rtol=1e-12, atol=1e-13)
    assert_close(large.losses, spread.losses, rtol=1e-12, atol=1e-13)
    assert large.steps == spread.steps


@pytest.mark.parametrize(
    "clip, by_hand",
    [
        (ClipNorm(0.1), lambda ps: nn.utils.clip_grad_norm_(ps, 0.1)),
        (ClipValue(0.02), lambda ps: nn.utils.clip_grad_value_(ps, 0.02)),
    ],
)
def test_clipping_bounds_every_step(clip, by_hand):
    x, y = data()
    ours, theirs = network(), network()
    fit(ours, F.cross_entropy, (x, y), None, sgd(ours), epochs=3, batch_size="all", clip=clip)
    optimizer = sgd(theirs)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(theirs(x), y).backward()
        before = [p.grad.clone() for p in theirs.parameters()]
        by_hand(list(theirs.parameters()))
        assert any(
            not torch.equal(a, p.grad) for a, p in zip(before, theirs.parameters(), strict=True)
        )
        optimizer.step()
    assert_close(values(ours), values(theirs), rtol=1e-6, atol=1e-9)


# Methods with closures.


@pytest.mark.parametrize(
    "make, passes",
    [
        (lambda m: torch.optim.LBFGS(m.parameters(), line_search_fn="strong_wolfe"), 2),
        (lambda m: NewtonCG(m.parameters()), 2),
        (lambda m: NaturalGradient(m.parameters(), loss=F.cross_entropy), 1),
        (lambda m: SAM(m.parameters(), torch.optim.SGD, lr=0.5), 2),
    ],
    ids=["lbfgs", "newton-cg", "natural-gradient", "sam"],
)
@pytest.mark.parametrize("size", ["all", 35])
def test_methods_with_closures_lower_the_loss(make, passes, size):
    model = network()
    before = loss_of(model, *data())
    found = fit(model, F.cross_entropy, data(), None, make(model), epochs=4, batch_size=size)
    after = loss_of(model, *data())
    assert after < before
    assert found.samples >= passes * 4 * 70
    assert found.losses[0] < 2 * before
    assert len(found.losses) == 4 * (1 if size == "all" else 2)


def test_a_closures_loss_is_the_one_where_the_step_began():
    model = network()
    at_first = loss_of(model, *data())
    optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
    found = fit(model, F.cross_entropy, data(), None, optimizer, epochs=1, batch_size="all")
    assert found.losses == pytest.approx([at_first], rel=1e-12)


# The true metric, and stopping by it.


@pytest.mark.parametrize(
    "metrics, better, epochs, best",
    [
        ([0.5, 0.4, 0.45, 0.41, 0.3, 0.2], "lower", 4, 2),
        ([0.5, 0.4, 0.45, 0.39, 0.5, 0.6, 0.1], "lower", 6, 4),
        ([0.5, 0.5, 0.5, 0.4], "lower", 3, 1),
        ([0.5, 0.6, 0.55, 0.59, 0.9], "higher", 4, 2),
        ([math.nan, 0.6, math.nan, 0.7, 0.1], "lower", 4, 2),
    ],
)
def test_it_stops_when_patience_ends_and_restores_the_best(metrics, better, epochs, best):
    told = iter(metrics)
    model, seen = network(dropout=0.2, normalized=True), []

    def metric(outputs, targets):
        seen.append(values(model))
        return torch.tensor(next(told))

    fitted = fit(
        model, F.cross_entropy, data(), data(20, 1), sgd(model), epochs=50, patience=2,
        metric=metric, better=better,
    )  # fmt: skip
    assert len(fitted.epochs) == epochs
    assert fitted.best_epoch == best
    assert fitted.best.validation_metric == pytest.approx(metrics[best - 1], rel=1e-6)
    assert "no better for 2 epochs" in fitted.why
    assert_close(values(model), seen[best - 1], rtol=0, atol=0)


def test_the_metric_decides_and_not_the_surrogate():
    """The surrogate on held-out data gets worse from epoch to epoch, and the metric better."""
    told = iter([0.5, 0.4, 0.3, 0.2])
    model = network()
    fitted = fit(
        model, F.cross_entropy, data(), (data()[0], 1 - data()[1]), sgd(model), epochs=4,
        patience=1, metric=lambda o, t: torch.tensor(next(told)),
    )  # fmt: skip
    losses = [epoch.validation_loss for epoch in fitted.epochs]
    assert losses == sorted(losses)
    assert fitted.best_epoch == 4
    assert fitted.why == "all epochs were made"


def test_torchmetrics_count_over_all_batches():
    from torchmetrics import F1Score

    model = network(normalized=True)
    x, y = data(600, 4)  # more than are measured at once
    fitted = fit(
        model, F.cross_entropy, (x, y), (x, y), sgd(model), epochs=2,
        metric=F1Score(task="multiclass", num_classes=2, average="macro"), patience=1,
    )  # fmt: skip
    model.eval()
    found = model(x).argmax(1)
    scores = []
    for one in (0, 1):
        hit = ((found == one) & (y == one)).sum()
        scores.append(2 * hit / ((found == one).sum() + (y == one).sum()))
    assert fitted.best.validation_metric == pytest.approx(float(sum(scores) / 2), rel=1e-6)


def test_values_are_means_over_samples_in_eval_mode():
    x, y = data(300, 2)  # 256 and 44 at once
    model = network(dropout=0.5, normalized=True)
    fitted = fit(
        model, F.cross_entropy, (x, y), (x, y), sgd(model), epochs=1, metric=wrong,
        train_metric=True,
    )  # fmt: skip
    (epoch,) = fitted.epochs
    weighed = sum(a * b for a, b in zip(fitted.losses, fitted.sizes, strict=True)) / 300
    assert model.training
    model.eval()
    with torch.no_grad():
        assert epoch.validation_loss == pytest.approx(loss_of(model, x, y))
        assert epoch.validation_metric == pytest.approx(float(wrong(model(x), y).double().mean()))
    assert epoch.train_metric == epoch.validation_metric
    assert epoch.train_loss == pytest.approx(weighed, rel=1e-12)


def test_a_part_in_eval_mode_stays_so():
    model = network(normalized=True)
    model[1].eval()
    before = model[1].running_mean.clone()
    fit(model, F.cross_entropy, data(), data(), sgd(model), epochs=1)
    assert torch.equal(model[1].running_mean, before)
    assert model.training
    assert not model[1].training


def test_a_loss_that_is_not_finite_ends_the_run():
    model = network()
    fitted = fit(
        model, lambda o, t: F.cross_entropy(o, t) * math.nan, data(), None, sgd(model), epochs=9
    )
    assert len(fitted.epochs) == 1
    assert fitted.why == "the surrogate loss was nan in epoch 1"


# Averages, schedules, precision.


@pytest.mark.parametrize(
    "make",
    [
        lambda o: PolyakAverage(o, start=3),
        lambda o: StochasticWeightAverage(o, start=2, every=3),
        lambda o: ExponentialAverage(o, decay=0.8),
    ],
    ids=["polyak", "swa", "ema"],
)
def test_the_model_ends_at_the_average_with_its_own_statistics(make):
    x, y = data()
    ours, theirs = network(normalized=True), network(normalized=True)
    optimizer = sgd(ours)
    fit(
        ours, F.cross_entropy, (x, y), (x, y), optimizer, epochs=3, average=make(optimizer),
        batch_size=35, shuffle="never",
    )  # fmt: skip
    optimizer = sgd(theirs)
    average = make(optimizer)
    for _ in range(3):
        for rows in torch.arange(70).split(35):
            optimizer.zero_grad()
            F.cross_entropy(theirs(x[rows]), y[rows]).backward()
            optimizer.step()
    for p, mean in average.averages():
        p.data.copy_(mean)
    torch.optim.swa_utils.update_bn([(x[:35],), (x[35:],)], theirs)
    assert_close(values(ours) | {"1.num_batches_tracked": 0}, values(theirs) | {
        "1.num_batches_tracked": 0
    }, rtol=1e-12, atol=1e-12)  # fmt: skip


def test_an_optimizer_that_averages_is_measured_where_it_wants():
    model = network()
    optimizer = SGDScheduleFree(model.parameters(), lr=0.5)
    fitted = fit(model, F.cross_entropy, data(), data(), optimizer, epochs=5, average=optimizer)
    found = loss_of(model, *data())
    assert fitted.epochs[-1].validation_loss == pytest.approx(found, rel=1e-12)


def test_schedules_move_by_step_or_by_epoch():
    def rates(make, **options):
        model, seen = network(), []
        optimizer = sgd(model)
        optimizer.register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
        fit(
            model, F.cross_entropy, data(), None, optimizer, epochs=3, batch_size=35,
            scheduler=make(optimizer), **options,
        )  # fmt: skip
        return seen

    halved = lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5)
    assert rates(halved) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    assert rates(halved, schedule="step") == pytest.approx([0.1 / 2**k for k in range(6)])
    plateau = lambda o: ReduceLROnPlateau(o, factor=0.1, patience=0, threshold=0.99)
    assert rates(plateau) == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_bfloat16_products_and_float32_parameters():
    seen = []
    model = network().float()
    model[0].register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    x, y = data()
    fit(model, F.cross_entropy, (x.float(), y), None, Adam, epochs=1, precision="bf16")
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_float16_gradients_are_scaled_and_an_overflow_makes_no_step():
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    x, y = data()
    start = values(model)
    overflowing = lambda outputs, targets: 1e36 * F.cross_entropy(outputs, targets)
    fit(
        model, overflowing, (x.float(), y), None, optimizer, epochs=1, precision="fp16",
        batch_size="all", scheduler=scheduler, schedule="step",
    )  # fmt: skip
    assert_close(values(model), start, rtol=0, atol=0)
    assert optimizer.param_groups[0]["lr"] == 0.1
    reference = nn.Linear(4, 2)
    reference.load_state_dict(start)
    small = lambda outputs, targets: 1e-4 * F.cross_entropy(outputs, targets)  # 6e-8 is the least
    one, other = ({"lr": 1e4, "foreach": False} for _ in range(2))
    fit(
        model, small, (x.float(), y), None, torch.optim.SGD(model.parameters(), **one),
        precision="fp16", epochs=3, batch_size="all",
    )  # fmt: skip
    fit(
        reference, small, (x.float(), y), None, torch.optim.SGD(reference.parameters(), **other),
        epochs=3, batch_size="all",
    )  # fmt: skip
    assert_close(values(model), values(reference), rtol=0.02, atol=0.02)
    assert not torch.equal(values(model)["weight"], start["weight"])


def test_scaled_gradients_are_clipped_at_their_own_length():
    x, y = data()
    start = nn.Linear(4, 2)
    found = []
    for precision in ("fp16", None):
        model = copy.deepcopy(start)
        fit(model, F.cross_entropy, (x.float(), y), None, torch.optim.SGD(model.parameters(), 1.0),
            precision=precision, clip=ClipNorm(0.01), epochs=1, batch_size="all")  # fmt: skip
        found.append(model.weight.detach() - start.weight.detach())
    assert_close(*found, rtol=0.02, atol=1e-4)
    assert found[1].norm() > 5e-3


# What is refused.


@pytest.mark.parametrize(
    "options, words",
    [
        ({"batch_size": 0}, r"batch_size=0\): give a whole number"),
        ({"shuffle": "ones"}, r"Did you mean 'once'"),
        ({"epochs": 0}, r"epochs=0"),
        ({"accumulate": 1.5}, r"accumulate=1.5"),
        ({"patience": 3}, r"give validation= data"),
        ({"patience": 0, "validation": data()}, r"patience=0"),
        ({"precision": "f16"}, r"Did you mean 'fp16'"),
        ({"schedule": "batch"}, r"give 'epoch' or 'step'"),
        ({"better": "up"}, r"give 'lower' or 'higher'"),
        ({"train": [data()], "batch_size": 8}, r"a loader has its own size"),
        ({"train": (torch.ones(0, 4), torch.ones(0))}, r"holds no sample"),
        ({"loss": lambda o, t: F.cross_entropy(o, t, reduction="none")}, "Let it reduce"),
        ({"optimizer": lambda p: torch.optim.LBFGS(p), "clip": ClipNorm(1.0)}, r"compares losses"),
        ({"optimizer": lambda p: NewtonCG(p), "precision": "fp16"}, r"take 'bf16'"),
        (
            {"optimizer": lambda p: NaturalGradient(p, loss=F.cross_entropy), "accumulate": 2},
            r"take a larger batch",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(options, words):
    model = network()
    given = {"loss": F.cross_entropy, "train": data(), "optimizer": sgd(model)} | options
    with pytest.raises(ValueError, match=words):
        fit(model, **given)


@pytest.mark.parametrize("train", [iter([data()]), torch.ones(3), "data"])
def test_data_of_another_kind_is_refused(train):
    with pytest.raises(TypeError, match="data is a"):
        fit(network(), F.cross_entropy, train)


@pytest.mark.parametrize("make", [ClipNorm, ClipValue])
def test_a_bound_must_be_positive(make):
    with pytest.raises(ValueError, match="above 0"):
        make(0.0)


# What the courses claim.


def sorted_classes(seed=0):
    """Three classes of clouds, in the order of their class."""
    source = torch.Generator().manual_seed(seed)
    y = torch.arange(3).repeat_interleave(80)
    centres = 1.5 * torch.tensor([[0.0, 1.0], [1.0, -0.5], [-1.0, -0.5]], dtype=torch.float64)
    return centres[y] + torch.randn(240, 2, generator=source, dtype=torch.float64), y


def loss_after(shuffle, seed):
    x, y = sorted_classes()
    torch.manual_seed(seed)
    model = nn.Linear(2, 3).double()
    fit(
        model, F.cross_entropy, (x, y), None, SGD(model.parameters(), lr=1.0), epochs=4,
        batch_size=8, shuffle=shuffle, seed=seed,
    )  # fmt: skip
    return loss_of(model, x, y)


def test_sorted_data_trains_worse_and_shuffling_once_does_not_hurt():
    mean = {
        shuffle: sum(loss_after(shuffle, seed) for seed in range(4)) / 4
        for shuffle in ("never", "once", "each-epoch")
    }
    assert mean["never"] > 1.5 * mean["each-epoch"]
    assert mean["once"] < 1.1 * mean["each-epoch"]


def test_on_redundant_data_smaller_batches_reach_a_target_with_fewer_gradients():
    """40 samples, each 25 times: a minibatch's gradient says nearly what that of all says."""
    source = torch.Generator().manual_seed(1)
    x = torch.randn(40, 6, generator=source, dtype=torch.float64).repeat(25, 1)
    y = x @ torch.randn(6, 1, generator=source, dtype=torch.float64)

    def samples_needed(size, epochs, lr, window):
        """Until the mean of the last losses is a thousandth of the first."""
        model = nn.Linear(6, 1).double()
        nn.init.zeros_(model.weight)
        start = F.mse_loss(model(x), y).item()
        fitted = fit(
            model, F.mse_loss, (x, y), None, SGD(model.parameters(), lr=lr), epochs=epochs,
            batch_size=size, seed=0,
        )  # fmt: skip
        means = torch.tensor(fitted.losses).unfold(0, window, 1).mean(1)
        first = int((means < 1e-3 * start).nonzero()[0]) + window
        return first * fitted.sizes[0]

    batch = samples_needed("all", 80, 0.1, 1)
    assert 5 * samples_needed(20, 3, 0.1, 10) < batch
    assert 10 * samples_needed(1, 1, 0.02, 40) < batch


def test_the_standard_error_of_a_batchs_gradient_is_sigma_over_the_root_of_n():
    """Over samples drawn alike; without replacement it is less, by sqrt((N - n) / (N - 1))."""
    from thalweg.curvature import noise_scale

    x, y = data(400)
    model = network()
    trace = noise_scale(
        model, F.cross_entropy, list(zip(x.split(1), y.split(1), strict=True))
    ).variance
    exact = whole_gradient(model, x, y)
    for size in (1, 4, 16):
        batches = Drawn(None, 400, size, "each-epoch", seed=size)
        squares = [
            float((whole_gradient(model, x[rows], y[rows]) - exact).square().sum())
            for epoch in range(size)
            for rows in batches.order(epoch).split(size)
        ]
        expected = trace / size * (400 - size) / 400  # of an unbiased variance, over N and not N-1
        mean, spread = torch.tensor(squares).mean(), torch.tensor(squares).std()
        assert abs(float(mean) - expected) < 4 * float(spread) / math.sqrt(len(squares))


def whole_gradient(model, x, y):
    found = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    return torch.cat([g.flatten() for g in found])


def test_a_resumed_run_knows_how_long_it_has_waited():
    stopping, model = Stopping(patience=3), nn.Linear(2, 1)
    for epoch, value in enumerate((1.0, 2.0, 2.0), 1):
        stopping.take(value, epoch, model)
    resumed = Stopping(patience=3)
    resumed.load_state_dict(stopping.state_dict())
    assert not resumed.is_over
    resumed.take(2.0, 4, model)
    assert resumed.is_over
    assert (resumed.best, resumed.epoch) == (1.0, 1)
