"""The noise scale of losses whose gradients' mean and covariance are known."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from thalweg.curvature import noise_scale
from thalweg.curvature.noise_scale import Moments, estimated

SIGMA = torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)  # standard deviations
OFF = torch.tensor([0.4, -0.3, 0.2], dtype=torch.float64)  # the mean gradient
TRUE = float(SIGMA.square().sum() / OFF.square().sum())


class Point(nn.Module):
    """A point w; the loss |w - x|^2 / 2 has the gradient w - x, sample by sample."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, x):
        return self.w - x


def half_square(difference, _):
    return difference.square().sum(1).mean() / 2


def drawn(count, seed=0):
    """Samples x whose negatives are the gradients at 0."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return -(OFF + SIGMA * noise)


def moments(gradients, lengths):
    """The moments of batches of the given lengths, by their definitions."""
    means = torch.stack([part.mean(0) for part in gradients.split(lengths)])
    mean = gradients.mean(0)
    return Moments(
        torch.tensor(lengths, dtype=torch.float64),
        means.square().sum(1),
        means @ mean,
        float(mean @ mean),
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("batch", [16, 25])
def test_the_estimates_are_their_definitions_over_ragged_batches(reduction, batch):
    x = drawn(110)
    loader = DataLoader(TensorDataset(x, x), batch_size=batch)
    lengths = [len(part) for part in x.split(batch)]
    loss = half_square if reduction == "mean" else lambda d, _: d.square().sum() / 2
    found = noise_scale(Point(), loss, loader, reduction=reduction)
    means = torch.stack([-part.mean(0) for part in x.split(batch)])
    sizes = torch.tensor(lengths, dtype=torch.float64)
    mean = -x.mean(0)
    t = float((sizes * (means - mean).square().sum(1)).sum()) / (len(lengths) - 1)
    assert found.variance == pytest.approx(t, rel=1e-12)
    assert found.gradient_squared == pytest.approx(float(mean @ mean) - t / 110, rel=1e-11)
    assert found.value == pytest.approx(found.variance / found.gradient_squared, rel=1e-12)
    assert (found.batches, found.samples) == (len(lengths), 110)


def test_one_batch_is_cut():
    x = drawn(96)
    whole = noise_scale(Point(), half_square, (x, x), pieces=8)
    parts = noise_scale(Point(), half_square, [(p, p) for p in x.split(12)])
    assert whole == parts


def test_both_estimates_are_unbiased():
    lengths = [7] * 9 + [3]
    found = [estimated(moments(-drawn(66, seed), lengths), 0.95) for seed in range(2000)]
    for values, true in (
        ([f.variance for f in found], float(SIGMA.square().sum())),
        ([f.gradient_squared for f in found], float(OFF.square().sum())),
    ):
        values = torch.tensor(values, dtype=torch.float64)
        error = float(values.std()) / math.sqrt(len(values))
        assert abs(float(values.mean()) - true) < 4 * error


@pytest.mark.parametrize(("count", "batch"), [(64, 4), (256, 16), (2000, 50)])
def test_the_interval_covers(count, batch):
    lengths = [batch] * (count // batch)
    seeds = range(600)
    found = [estimated(moments(-drawn(sum(lengths), s), lengths), 0.95) for s in seeds]
    covered = sum(f.lower <= TRUE <= f.upper for f in found) / len(seeds)
    assert covered >= 0.93  # 0.95 less twice the standard error of 600 draws


def test_much_data_tells_the_scale():
    x = drawn(200_000)
    found = noise_scale(Point(), half_square, (x, x), pieces=100)
    assert found.lower < TRUE < found.upper < 2 * found.lower
    assert found.relative_error(TRUE) == pytest.approx(1, rel=0.1)


def test_where_there_is_no_gradient_the_scale_has_no_upper_end():
    x = drawn(256)
    model = Point()
    with torch.no_grad():
        model.w.copy_(x.mean(0))
    found = noise_scale(model, half_square, (x, x))
    assert found.upper == math.inf
    assert found.relative_error(10) == math.inf or found.value > 10


def test_the_model_is_left_as_it_is():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    data = torch.randn(64, 4), torch.randint(2, (64,))
    state = torch.get_rng_state()
    noise_scale(model, F.cross_entropy, data, pieces=8)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ([(drawn(4), drawn(4))] * 3, {}, "3 batches"),
        ((drawn(3), drawn(3)), {}, "3 batches"),
        ((drawn(8), drawn(8)), {"pieces": 2}, "pieces=2"),
        ((drawn(8), drawn(8)), {"confidence": 1.0}, "confidence"),
    ],
)
def test_what_shows_no_noise_is_refused(data, options, words):
    with pytest.raises(ValueError, match=words):
        noise_scale(Point(), half_square, data, **options)
