"""Samples are counted by their content, in programs of every style, and nothing is changed."""

import itertools
import json

import pytest
import torch
from observing import run, same
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from training_programs import PROGRAMS

from thalweg.recorder import Session
from thalweg.recorder.sample_count import SampleCount, expected_repeats
from thalweg.recorder.sample_keys import chosen, joined, row_keys

ROWS = 60


@pytest.mark.parametrize("name", PROGRAMS)
def test_counting_changes_nothing(name, tmp_path):
    same(run(PROGRAMS[name]), run(PROGRAMS[name], [SampleCount(tmp_path)]))
    found = json.loads((tmp_path / "samples.json").read_text())
    assert found["unseen"] <= found["passes"]
    assert found["samples"] <= found["visits"]


def data():
    random = torch.Generator().manual_seed(5)
    x = torch.randn(ROWS, 3, generator=random)
    return x, (x[:, 0] > 0).long()


def in_order(epochs, size):
    return [rows for _ in range(epochs) for rows in torch.arange(ROWS).split(size)]


def shuffled(epochs, size):
    return [rows for _ in range(epochs) for rows in torch.randperm(ROWS).split(size)]


def drawn(steps, size):
    return [torch.randint(0, ROWS, (size,)) for _ in range(steps)]


def trained(batches, change=lambda x: x, loss=F.cross_entropy):
    x, y = data()
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for rows in batches:
        optimizer.zero_grad()
        loss(model(change(x[rows])), y[rows]).backward()
        optimizer.step()


def through_a_loader(epochs, size):
    model = nn.Linear(3, 2)
    for _ in range(epochs):
        for x, y in DataLoader(TensorDataset(*data()), batch_size=size, shuffle=True):
            F.cross_entropy(model(x), y).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.1 * p.grad
                    p.grad = None


# name: what trains, and how many samples, visits, repeats, passes and unseen passes there are
CASES = {
    "whole": (lambda: trained([torch.arange(ROWS)] * 4), (ROWS, 240, 0, 4, 0)),
    "in order": (lambda: trained(in_order(3, 7)), (ROWS, 180, 0, 27, 0)),
    "shuffled": (lambda: trained(shuffled(3, 20)), (ROWS, 180, 0, 9, 0)),
    "a loader": (lambda: through_a_loader(2, 16), (ROWS, 120, 0, 8, 0)),
    "one epoch": (lambda: trained(shuffled(1, 20)), (ROWS, 60, 0, 3, 0)),
    "twice in a batch": (
        lambda: trained([torch.arange(ROWS // 2).repeat(2)] * 3), (ROWS // 2, 180, 90, 3, 0)
    ),
    "new noise each time": (
        lambda: trained(in_order(3, 20), lambda x: x + torch.rand_like(x)), (180, 180, 0, 9, 0)
    ),
    "no targets": (
        lambda: trained(in_order(2, 20), loss=lambda out, _: out.square().mean()),
        (0, 0, 0, 6, 6),
    ),
}  # fmt: skip


def counted(train, folder):
    torch.manual_seed(1)
    with Session([SampleCount(folder)]):
        train()
    return json.loads((folder / "samples.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_what_is_counted(name, tmp_path):
    train, wanted = CASES[name]
    found = counted(train, tmp_path)
    names = ("samples", "visits", "repeats", "passes", "unseen")
    assert tuple(found[one] for one in names) == wanted


def test_rows_drawn_with_replacement_repeat_as_often_as_chance_has_it(tmp_path):
    found = counted(lambda: trained(drawn(60, 30)), tmp_path)
    assert found["samples"] == ROWS
    assert found["repeats"] == pytest.approx(found["expected_repeats"], rel=0.1)


@pytest.mark.parametrize("drawn, samples", [(1, 3), (2, 3), (3, 2), (4, 3)])
def test_expected_repeats_are_the_mean_over_all_draws(drawn, samples):
    every = list(itertools.product(range(samples), repeat=drawn))
    mean = sum(drawn - len(set(one)) for one in every) / len(every)
    assert expected_repeats(drawn, samples) == pytest.approx(mean)


KINDS = {
    "float64": lambda x: x.double(),
    "float32": lambda x: x,
    "bfloat16": lambda x: x.bfloat16(),
    "whole numbers": lambda x: (1000 * x).long(),
    "bytes": lambda x: (50 * x.abs()).to(torch.uint8),
    "yes or no": lambda x: x[:, :1] > torch.linspace(-2, 2, 40),
    "complex": lambda x: torch.complex(x, x + 1),
    "one number each": lambda x: x[:, 0],
    "images": lambda x: x.reshape(ROWS, 1, 3, 1).expand(ROWS, 2, 3, 4),
    "long rows": lambda x: x.repeat(1, 500),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_row_has_the_same_key_in_every_batch(name):
    rows = KINDS[name](data()[0])
    keys = row_keys(rows)
    assert keys.shape == (ROWS,)
    order = torch.randperm(ROWS)
    assert torch.equal(row_keys(rows[order]), keys[order])
    assert torch.equal(torch.cat([row_keys(one) for one in rows.split(7)]), keys)
    alike = rows.reshape(ROWS, -1)
    same_rows = (alike[:, None] == alike[None]).all(2)
    assert torch.equal(keys[:, None] == keys[None], same_rows)


def test_keys_of_pairs_know_their_order():
    left, right = row_keys(torch.arange(50)), row_keys(torch.arange(50) + 100)
    pairs = torch.cat([joined(left, right), joined(right, left), joined(left, left)])
    assert len(set(pairs.tolist())) == 150


@pytest.mark.parametrize("share", [0.1, 0.25, 0.7])
def test_a_share_is_chosen_and_a_smaller_one_lies_in_it(share):
    keys = row_keys(torch.arange(40_000))  # neighbours, as labels and counters are
    out = chosen(keys, share)
    assert float(out.double().mean()) == pytest.approx(share, abs=4 * (share / 40_000) ** 0.5)
    assert not (chosen(keys, share / 2) & ~out).any()
