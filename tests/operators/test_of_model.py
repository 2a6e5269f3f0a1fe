"""A model's Hessian over data of several batches, against dense references."""

import functools
import random

import numpy as np
import pytest
import torch
from networks import (
    NETWORKS,
    SIZES,
    batch_loss,
    dense_hessian,
    mlp,
    normal,
    relative,
    trainable,
)
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from thalweg.operators import Hessian

RANDOM = {"dropout_in_train_mode", "encoder_layer_in_train_mode"}
every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
def test_one_batch_against_the_dense_hessian(name):
    model, loss, batches = NETWORKS[name]()
    state = torch.get_rng_state()

    def reference(params):
        torch.set_rng_state(state)
        return batch_loss(model, loss, batches[0], params)

    hessian = Hessian.of_model(model, loss, [batches[0]])
    assert relative(hessian.to_dense(), dense_hessian(reference, trainable(model))) < 1e-12


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - RANDOM))
@pytest.mark.parametrize("memory", [None, 0])
def test_batches_count_by_their_samples(name, memory):
    model, loss, batches = NETWORKS[name]()

    def reference(params):
        parts = [batch_loss(model, loss, batch, params) for batch in batches]
        return sum(n * part for n, part in zip(SIZES, parts, strict=True)) / sum(SIZES)

    hessian = Hessian.of_model(model, loss, batches, memory=memory)
    assert relative(hessian.to_dense(), dense_hessian(reference, trainable(model))) < 1e-12
    assert hessian.loss == pytest.approx(reference(trainable(model)).item(), rel=1e-12)


def test_ragged_batches_equal_all_the_data_at_once_to_rounding():
    model = mlp()[0]
    x, y = normal(100, 4), torch.randint(0, 3, (100,))
    loader = DataLoader(TensorDataset(x, y), 32)
    reference = dense_hessian(
        lambda params: batch_loss(model, F.cross_entropy, (x, y), params), trainable(model)
    )
    hessian = Hessian.of_model(model, F.cross_entropy, loader)
    assert relative(hessian.to_dense(), reference) < 1e-15


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_every_batch_has_random_draws_of_its_own(name):
    model, loss, batches = NETWORKS[name]()
    twice = Hessian.of_model(model, loss, [batches[0], batches[0]])
    once = Hessian.of_model(model, loss, [batches[0]])
    assert twice.loss != once.loss


@every_network
@pytest.mark.parametrize("memory", [None, 0])
def test_products_repeat_and_leave_everything_as_it_was(name, memory):
    model, loss, batches = NETWORKS[name]()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    hessian = Hessian.of_model(model, loss, DataLoader(Listed(batches), None, shuffle=True))
    v = torch.ones(hessian.size, dtype=hessian.dtype)
    first = hessian @ v
    assert torch.equal(hessian @ v, first)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(bool((p.grad == 1).all()) for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2][1]).all()


class Listed(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@every_network
def test_what_the_program_does_later_does_not_matter(name):
    model, loss, batches = NETWORKS[name]()
    hessian = Hessian.of_model(model, loss, batches, memory=0)
    v = torch.ones(hessian.size, dtype=hessian.dtype)
    before = hessian @ v
    torch.rand(7)
    model.train(not model.training)
    with torch.no_grad():
        for tensor in (*(p for p in model.parameters() if p.requires_grad), *model.buffers()):
            tensor.add_(1)
    assert torch.equal(hessian @ v, before)


def quartic(params):
    return sum((p**4).sum() for p in params.values())


@pytest.mark.parametrize("batches", [1, 3])
def test_a_penalty_counts_once(batches):
    model, loss, data = mlp()
    plain = Hessian.of_model(model, loss, data[:batches])
    hessian = Hessian.of_model(model, loss, data[:batches], penalty=quartic)
    w = hessian.layout.flatten(dict(model.named_parameters())).detach()
    expected = plain.to_dense() + torch.diag(12 * w**2)
    assert relative(hessian.to_dense(), expected) < 1e-14
    assert hessian.loss == pytest.approx(plain.loss + float((w**4).sum()), rel=1e-14)
    torch.testing.assert_close(hessian.gradient, plain.gradient + 4 * w**3)


def test_a_penalty_may_name_parameters_that_do_not_vary():
    model, loss, data = mlp()
    hessian = Hessian.of_model(
        model, loss, data, params=["0.bias"], penalty=lambda p: (p["0.bias"] * p["2.bias"][0]).sum()
    )
    expected = Hessian.of_model(model, loss, data, params=["0.bias"])
    assert relative(hessian.to_dense(), expected.to_dense()) < 1e-15
    shift = (hessian.gradient - expected.gradient).tolist()
    assert shift == pytest.approx([model[2].bias[0].item()] * 5, rel=1e-12)


def test_a_penalty_of_parameters_that_do_not_vary_is_a_constant():
    model, loss, data = mlp()
    plain = Hessian.of_model(model, loss, data, params=["0.bias"])
    hessian = Hessian.of_model(
        model, loss, data, params=["0.bias"], penalty=lambda p: p["2.weight"].square().sum()
    )
    assert relative(hessian.to_dense(), plain.to_dense()) < 1e-15
    constant = model[2].weight.square().sum().item()
    assert hessian.loss == pytest.approx(plain.loss + constant, rel=1e-14)


SELECTIONS = {
    "names": ["2.weight", "0.bias"],
    "a predicate": lambda name: name in ("0.bias", "2.weight"),
    "a dict": {"0.bias": torch.zeros(5, dtype=torch.float64)},
}


@pytest.mark.parametrize("kind", SELECTIONS)
def test_a_subset_is_a_block_of_the_whole(kind):
    model, loss, data = mlp()
    chosen = SELECTIONS[kind]
    if isinstance(chosen, dict):
        with torch.no_grad():
            model[0].bias.zero_()
    whole = Hessian.of_model(model, loss, data)
    part = Hessian.of_model(model, loss, data, params=chosen)
    starts, start = {}, 0
    for name, shape in zip(whole.layout.names, whole.layout.shapes, strict=True):
        starts[name] = list(range(start, start + shape.numel()))
        start += shape.numel()
    rows = [i for name in part.layout.names for i in starts[name]]
    assert relative(part.to_dense(), whole.to_dense()[rows][:, rows]) < 1e-14


def test_a_tied_parameter_answers_to_both_names():
    model, loss, data = NETWORKS["tied"]()
    first = Hessian.of_model(model, loss, data, params=["0.weight"])
    second = Hessian.of_model(model, loss, data, params=["2.weight"])
    assert second.layout.names == ("0.weight",)
    assert torch.equal(first.to_dense(), second.to_dense())


BAD_SELECTIONS = {
    "a word": ("weight", TypeError, "params is a str"),
    "a number": (3, TypeError, "params is a int"),
    "unknown": (["0.wait"], ValueError, r"no parameter '0\.wait'; it has 0\.weight"),
    "none": (lambda name: False, ValueError, "at least one parameter"),
}


@pytest.mark.parametrize("kind", BAD_SELECTIONS)
def test_refuses_a_selection(kind):
    model, loss, data = mlp()
    params, error, says = BAD_SELECTIONS[kind]
    with pytest.raises(error, match=says):
        Hessian.of_model(model, loss, data, params=params)


LOSSES = {
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "a partial sum": functools.partial(F.cross_entropy, reduction="sum"),
    "mean": nn.CrossEntropyLoss(),
    "weights": nn.CrossEntropyLoss(torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64)),
    "ignored": nn.CrossEntropyLoss(ignore_index=1),
    "ignored by a function": functools.partial(F.cross_entropy, ignore_index=1),
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=2),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_batches_add_up_to_what_the_loss_makes_of_all_the_data(kind):
    model, _, _ = mlp()
    x, y = normal(11, 4), torch.tensor([1, 1, 1, 0, 2, 0, 0, 2, 2, 0, 1])
    batches = [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])]
    whole = Hessian.of_model(model, LOSSES[kind], (x, y))
    parts = Hessian.of_model(model, LOSSES[kind], batches)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-14)
    assert relative(parts.to_dense(), whole.to_dense()) < 1e-14


def test_class_probabilities_count_as_samples():
    model, _, _ = mlp()
    x, y = normal(11, 4), normal(11, 3).softmax(1)
    whole = Hessian.of_model(model, F.cross_entropy, (x, y))
    parts = Hessian.of_model(model, F.cross_entropy, [(x[:8], y[:8]), (x[8:], y[8:])])
    assert relative(parts.to_dense(), whole.to_dense()) < 1e-14


def test_a_loss_without_reduction_is_refused():
    model, _, data = mlp()
    with pytest.raises(ValueError, match="reduction='none'"):
        Hessian.of_model(model, nn.CrossEntropyLoss(reduction="none"), data)


class Augmented(Dataset):
    """Adds noise from each of the global generators."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        noise = torch.rand(()) + random.random() + np.random.rand()
        return self.x[index] + noise, self.y[index]


def test_a_loader_that_shuffles_and_augments_gives_the_same_batches_every_time():
    model, loss, data = mlp()
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    own = torch.Generator().manual_seed(4)
    loader = DataLoader(Augmented(x, y), 4, shuffle=True, generator=own)
    state = own.get_state()
    hessian = Hessian.of_model(model, loss, loader, memory=0)
    v = torch.ones(hessian.size, dtype=hessian.dtype)
    first = hessian @ v
    torch.rand(3), random.random(), np.random.rand()
    assert torch.equal(hessian @ v, first)
    assert torch.equal(own.get_state(), state)


def test_data_that_changes_is_noticed():
    model, loss, data = mlp()
    hessian = Hessian.of_model(model, loss, data, memory=0)
    v = torch.ones(hessian.size, dtype=hessian.dtype)
    data.append(data[0])
    with pytest.raises(ValueError, match="more than its 3 batches"):
        hessian @ v
    data[1] = (2 * data[1][0], data[1][1])
    with pytest.raises(ValueError, match=r"batch 1 has the loss .*Pass list\(loader\)"):
        hessian @ v
    del data[1:]
    with pytest.raises(ValueError, match="has 1 of its 3 batches"):
        hessian @ v
