"""Whether targets belong to their inputs, against references and trainings of known truth."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.recorder import Recorder, Recording, Session
from thalweg.recorder.agreement import FOLDS, agreement, by_neighbours, by_ridge, nearest
from thalweg.recorder.examples import MOST_EXAMPLES, MOST_FEATURES


def clusters(count, classes=3, spread=1.0):
    centers = 3 * torch.randn(classes, 6, dtype=torch.float64)
    y = torch.randint(classes, (count,))
    return centers[y] + spread * torch.randn(count, 6, dtype=torch.float64), y


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def test_neighbours_are_the_nearest_others():
    x = torch.randn(40, 3, dtype=torch.float64)
    found = nearest(x)
    for i in range(40):
        by_distance = sorted(range(40), key=lambda j, i=i: float((x[i] - x[j]).norm()))
        assert sorted(found[i].tolist()) == sorted(by_distance[1:6])
    targets = torch.randn(40, 2, dtype=torch.float64)
    wanted = torch.stack([targets[row].mean(0) for row in found])
    torch.testing.assert_close(by_neighbours(found)(targets), wanted)


def test_ridge_predicts_each_fold_from_the_others():
    x = torch.randn(30, 4, dtype=torch.float64)
    y = torch.randn(30, 2, dtype=torch.float64)
    found = by_ridge(x)(y)
    fold = (torch.arange(30) * FOLDS // 30)[
        torch.randperm(30, generator=torch.Generator().manual_seed(0))
    ]
    for at in range(FOLDS):
        own, out = x[fold != at], x[fold == at]
        penalty = own.square().sum(1).mean() * torch.eye(4, dtype=torch.float64)
        weights = torch.linalg.solve(
            own.T @ own + penalty, own.T @ y[fold != at]
        )  # the primal form
        torch.testing.assert_close(found[fold == at], out @ weights)


@pytest.mark.parametrize("kind", ["classes", "numbers", "several numbers", "a line", "far off"])
def test_targets_that_belong_are_told_from_those_that_do_not(kind):
    x, classes = clusters(200)
    y = {
        "classes": classes,
        "numbers": x[:, :1].sin() + 0.3 * torch.randn(200, 1),
        "several numbers": x[:, :2] ** 2,
        "far off": torch.where(torch.rand(200, 1) < 0.1, 1e6 * torch.randn(200, 1), x[:, :1]),
        "a line": x @ torch.randn(6, 1, dtype=torch.float64) + torch.randn(200, 1),
    }[kind]
    right, permuted = agreement(x, y), agreement(x, y[torch.randperm(200)])
    assert right.p <= 0.02
    assert right.explained > right.chance + 0.2
    assert permuted.p > 0.05
    assert right.classes == (3 if kind == "classes" else 0)


def test_a_p_value_is_one_of_chance():
    found = []
    for seed in range(20):
        torch.manual_seed(seed)
        made = agreement(torch.randn(80, 4), torch.randint(2, (80,)))
        found.append(made.p)
    # doubled for two tests, so at most as many as the level says, within three standard errors
    assert sum(p <= 0.1 for p in found) <= 2 + 3 * math.sqrt(20 * 0.1 * 0.9)
    assert max(found) > 0.5


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_contradictions_are_the_flipped_ones_that_a_majority_outvotes(share):
    x, y = clusters(800, spread=0.1)  # far apart, so that only the flips contradict
    wrong = torch.rand(800) < share
    found = agreement(x, torch.where(wrong, (y + 1) % 3, y)).contradicted
    q = float(wrong.double().mean())
    outvoted = (1 - q) ** 5 + 5 * q * (1 - q) ** 4
    the_others = q**5 + 5 * q**4 * (1 - q)
    expected = q * outvoted + (1 - q) * the_others
    assert found == pytest.approx(expected, abs=4 * math.sqrt(expected / 800) + 1e-9)


def test_equal_inputs_count_once():
    x, y = clusters(70)
    once = agreement(x, y)
    thrice = agreement(x.repeat(3, 1), y.repeat(3))
    assert thrice == once


NOTHING = {
    "too few": lambda: agreement(torch.randn(59, 3), torch.randint(2, (59,))),
    "one class": lambda: agreement(torch.randn(90, 3), torch.zeros(90, dtype=torch.int64)),
    "equal inputs": lambda: agreement(torch.ones(90, 3), torch.randint(2, (90,))),
    "not finite": lambda: agreement(torch.full((90, 3), math.nan), torch.randint(2, (90,))),
    "infinite targets": lambda: agreement(torch.randn(90, 3), torch.full((90, 1), math.inf)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_where_nothing_can_be_told_nothing_is(name):
    assert NOTHING[name]() is None


# --------------------------------------------------------------- gathered from trainings


def recorded(folder, training, full=True):
    torch.set_num_threads(1)
    with Session([Recorder(folder, folder, (), full)]):
        training()
    return Recording.read(folder).summary["agreement"]


def trained(x, y, model, loss=F.cross_entropy, batch=20, epochs=2):
    def training():
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(batch):
                optimizer.zero_grad()
                loss(model(x[rows]), y[rows]).backward()
                optimizer.step()

    return training


def images():
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))


STYLES = {
    "a table": lambda x, y: trained(x, y, nn.Linear(6, 3).double()),
    "numbers": lambda x, y: trained(
        x, y.double(), nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)).double(), F.mse_loss
    ),
    "by hand": lambda x, y: trained(
        x, y.double(), nn.Linear(6, 1).double(), lambda o, t: ((o[:, 0] - t) ** 2).mean()
    ),
    "images": lambda x, y: trained(
        x.repeat(1, 2)[:, :9].reshape(-1, 1, 3, 3), y, images().double()
    ),
    "columns": lambda x, y: trained(
        x, (y == 0).double()[:, None], nn.Linear(6, 1).double(), F.binary_cross_entropy_with_logits
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_examples_are_gathered_with_their_targets(style, tmp_path):
    x, y = clusters(120)
    found = recorded(tmp_path, STYLES[style](x, y))
    assert found["examples"] == 120
    assert found["p"] <= 0.02
    shuffled = recorded(tmp_path, STYLES[style](x[torch.randperm(120)], y))
    assert shuffled["p"] > 0.02


def test_a_mere_trial_gathers_none(tmp_path):
    x, y = clusters(120)
    assert recorded(tmp_path, STYLES["a table"](x, y), full=False) == {}


def test_of_much_data_a_sample_is_kept(tmp_path):
    count, wide = MOST_EXAMPLES + 300, 3 * MOST_FEATURES
    x = torch.randn(count, wide)
    y = (x[:, 0] > 0).long()
    found = recorded(tmp_path, trained(x, y, nn.Linear(wide, 2), batch=500, epochs=1))
    assert found["examples"] == MOST_EXAMPLES


WITHOUT = {
    "tokens": lambda: trained(
        torch.randint(9, (80, 4)), torch.randint(3, (80,)),
        nn.Sequential(nn.Embedding(9, 5), nn.Flatten(), nn.Linear(20, 3)),
    ),
    "targets of another length": lambda: trained(
        torch.randn(80, 4), torch.randint(3, (160,)),
        nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)), nn.Flatten(0, 1)),
        lambda o, t: F.cross_entropy(o, torch.zeros(len(o), dtype=torch.int64)), batch=80,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT)
def test_what_cannot_be_paired_is_left_out(name, tmp_path):
    assert recorded(tmp_path, WITHOUT[name]()) == {}
