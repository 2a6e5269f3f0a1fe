"""Elastic distortions: what they do to an image, and what they do for learning digits."""

import sys

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.testing import assert_close

from thalweg.training.regularization import ElasticDistortion

DOUBLE = torch.float64


def images(n=3, height=8, width=12):
    torch.manual_seed(1)
    return torch.rand(n, 2, height, width, dtype=DOUBLE)


def by_hand(x, noise, alpha, sigma):
    """Simard's three sentences, pixel by pixel: smooth, scale, look up between four pixels."""
    n, channels, height, width = x.shape
    reach = -(-3 * sigma // 1)
    offsets = torch.arange(-reach, reach + 1, dtype=DOUBLE)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()

    def smoothed(field, i, j):
        total = 0.0
        for a, wa in zip(offsets.int().tolist(), weights.tolist(), strict=True):
            for b, wb in zip(offsets.int().tolist(), weights.tolist(), strict=True):
                if 0 <= i + a < height and 0 <= j + b < width:
                    total += wa * wb * field[i + a, j + b].item()
        return alpha * total

    def pixel(image, i, j):
        return image[:, i, j] if 0 <= i < height and 0 <= j < width else torch.zeros(channels)

    out = torch.zeros_like(x)
    for k in range(n):
        for i in range(height):
            for j in range(width):
                column, row = (
                    j + smoothed(noise[k, 0], i, j),
                    i + smoothed(noise[k, 1], i, j),
                )
                left, top = int(column // 1), int(row // 1)
                u, v = column - left, row - top
                out[k, :, i, j] = (
                    (1 - u) * (1 - v) * pixel(x[k], top, left)
                    + u * (1 - v) * pixel(x[k], top, left + 1)
                    + (1 - u) * v * pixel(x[k], top + 1, left)
                    + u * v * pixel(x[k], top + 1, left + 1)
                )
    return out


def test_it_is_what_the_paper_says():
    x = images(1, 4, 6)
    bend = ElasticDistortion(alpha=5.0, sigma=1.0)
    torch.manual_seed(3)
    found = bend(x)
    torch.manual_seed(3)
    noise = 2 * torch.rand(1, 2, 4, 6, dtype=DOUBLE) - 1
    expected = by_hand(x, noise, 5.0, 1.0)
    assert_close(found, expected, rtol=1e-6, atol=1e-7)
    assert (found - x).abs().max() > 0.1


def test_it_is_the_identity_at_alpha_zero_and_in_evaluation_mode():
    x = images()
    assert torch.equal(ElasticDistortion(0.0, 2.0)(x), x)
    assert torch.equal(ElasticDistortion(5.0, 2.0).eval()(x), x)
    assert_close(ElasticDistortion(1e-9, 2.0)(x), x, rtol=0, atol=1e-8)


def test_each_image_is_bent_in_its_own_way_and_its_channels_alike():
    torch.manual_seed(0)
    one = images(1)[:, :1]
    bent = ElasticDistortion(6.0, 1.5)(one.expand(2, 2, -1, -1))
    assert torch.equal(bent[:, 0], bent[:, 1])
    assert not torch.equal(bent[0], bent[1])


@pytest.mark.parametrize("settings", [(-1.0, 2.0), (1.0, 0.0)], ids=str)
def test_lengths_that_are_none_are_refused(settings):
    with pytest.raises(ValueError, match="both are in pixels"):
        ElasticDistortion(*settings)


def test_what_is_no_batch_of_images_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 8, 8\): give images as \(N, C, H, W\)"):
        ElasticDistortion(1.0, 1.0)(torch.zeros(3, 8, 8))


def test_without_kornia_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia.geometry.transform", None)
    with pytest.raises(ImportError, match=r"pip install 'thalweg\[augmentation\]'"):
        ElasticDistortion(1.0, 1.0)


def accuracy(seed, *first):
    """Held-out accuracy of a small network that has seen ten images of each digit."""
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(digits.target)
    torch.manual_seed(seed)
    order = torch.randperm(len(y))
    train = torch.cat([order[y[order] == digit][:10] for digit in range(10)])
    held_out = torch.ones(len(y), dtype=torch.bool).index_fill(0, train, False)
    body = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*first, *body, nn.Flatten(), nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[train]), y[train]).backward()
        optimizer.step()
    with torch.no_grad():
        right = model.eval()(x[held_out]).argmax(1) == y[held_out]
    return right.double().mean().item()


def test_on_few_digits_it_improves_the_held_out_accuracy():
    seeds = range(20, 24)
    plain = torch.tensor([accuracy(seed) for seed in seeds])
    bent = torch.tensor([accuracy(seed, ElasticDistortion(3.0, 1.5)) for seed in seeds])
    assert (bent > plain).all()
    assert (bent - plain).mean() > 0.005
