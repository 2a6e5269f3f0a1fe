"""One idea over four sets of axes: against torch's layers, against sums by hand, by invariances."""

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.training.normalization import normalize

EXACT = {"rtol": 1e-12, "atol": 1e-12}
GROUPS = 2
SHAPES = [(5, 6), (5, 6, 7), (5, 6, 4, 3), (2, 6, 3, 2, 2)]
CASES = [
    (kind, shape)
    for kind, shape in itertools.product(["batch", "layer", "instance", "group"], SHAPES)
    if kind != "instance" or len(shape) > 2
]


def numbers(shape):
    random = torch.Generator().manual_seed(0)
    return 3 + 2 * torch.randn(shape, generator=random, dtype=torch.float64)


def ours(x, kind):
    return normalize(x, kind, groups=GROUPS if kind == "group" else 1)


def torchs(kind, shape):
    """torch's layer, without scale and shift, in training."""
    space = len(shape) - 2
    if kind == "layer":
        return nn.LayerNorm(shape[1:], elementwise_affine=False)
    if kind == "group":
        return nn.GroupNorm(GROUPS, shape[1], affine=False)
    name = {"batch": "BatchNorm", "instance": "InstanceNorm"}[kind]
    return getattr(nn, f"{name}{max(space, 1)}d")(shape[1], affine=False).double()


@pytest.mark.parametrize("kind, shape", CASES)
def test_it_is_torchs_layer(kind, shape):
    x = numbers(shape)
    assert_close(ours(x, kind), torchs(kind, shape)(x), **EXACT)


@pytest.mark.parametrize("kind, shape", CASES)
def test_its_gradient_is_that_of_torchs_layer(kind, shape):
    gradients = []
    for compute in (lambda x: ours(x, kind), torchs(kind, shape)):
        x = numbers(shape).requires_grad_()
        (compute(x) * numbers(shape).sin()).sum().backward()
        gradients.append(x.grad)
    assert_close(*gradients, **EXACT)


# The set of each entry, by the papers' words.
SETS = {
    "batch": lambda one, other: one[1] == other[1],
    "layer": lambda one, other: one[0] == other[0],
    "instance": lambda one, other: one[:2] == other[:2],
    "group": lambda one, other: one[0] == other[0] and one[1] // 3 == other[1] // 3,
}


@pytest.mark.parametrize("kind", SETS)
def test_each_entry_is_standardized_over_its_set(kind):
    x = numbers((3, 6, 2, 2))
    places = list(itertools.product(*map(range, x.shape)))
    y = ours(x, kind)
    for place in places[::7]:
        over = torch.stack([x[other] for other in places if SETS[kind](place, other)])
        expected = (x[place] - over.mean()) / (over.var(correction=0) + 1e-5) ** 0.5
        assert_close(y[place], expected, **EXACT)


@pytest.mark.parametrize("groups, kind", [(1, "layer"), (6, "instance")])
def test_group_normalization_has_two_others_as_its_ends(groups, kind):
    x = numbers((5, 6, 4, 3))
    assert_close(normalize(x, "group", groups=groups), normalize(x, kind), **EXACT)


@pytest.mark.parametrize("kind", SETS)
def test_only_batch_normalization_mixes_samples(kind):
    x = numbers((4, 6, 3, 3))
    other = x.clone()
    other[1:] = 0.1 * other[1:] + 7
    alone = torch.allclose(ours(x, kind)[0], ours(other, kind)[0])
    assert alone == (kind != "batch")


@pytest.mark.parametrize(
    "shape, kind, groups, says",
    [
        ((5, 6, 2), "batsh", 1, "choose one of batch"),
        ((5,), "batch", 1, "must be .samples, channels"),
        ((5, 6), "instance", 1, "no space"),
        ((5, 6, 2), "group", 4, "must divide the 6 channels"),
        ((5, 6, 2), "layer", 2, "groups is for 'group'"),
    ],
)
def test_what_has_no_such_axes_is_refused(shape, kind, groups, says):
    with pytest.raises(ValueError, match=says):
        normalize(numbers(shape), kind, groups=groups)
