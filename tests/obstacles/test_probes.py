"""Probes of a step against numbers that are known beforehand."""

import math

import pytest
import torch

from thalweg.obstacles.probes import PROBES
from thalweg.obstacles.probes.curvature import CURVATURE_STEPS
from thalweg.recorder import Recorder, Recording, Session


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def recorded(folder, training):
    torch.manual_seed(5)
    with Session([Recorder(folder, folder, PROBES)]):
        training()
    recording = Recording.read(folder)
    assert recording.summary["trouble"] == []
    return recording


def found(recording, name):
    return {row["step"]: row["probes"][name] for row in recording.samples if name in row["probes"]}


def minibatches(size, kept, steps=33, lr=0.02):
    """A mean by descent: the gradient of a batch is w - its mean, whatever w is."""

    def training():
        data = torch.randn(4000, 3, dtype=torch.float64)
        w = torch.full((3,), 5.0, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=lr)
        for step in range(steps):
            rows = torch.randint(4000, (size,))
            kept.append((step, data[rows].mean(0), w.detach().clone()))
            optimizer.zero_grad()
            (0.5 * (data[rows] - w).square().sum(1).mean()).backward()
            optimizer.step()

    return training


@pytest.mark.parametrize("size", [1, 8, 64])
def test_the_noise_scale_is_that_of_the_batches_at_the_same_place(size, tmp_path):
    kept = []
    rows = found(recorded(tmp_path, minibatches(size, kept)), "noise")
    assert sorted(rows) == [8, 16, 32]
    full = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    for step, row in rows.items():
        seen = [s for s in full if s <= step][-9:]
        w = kept[step][2]
        gradients = torch.stack([w - kept[s][1] for s in seen])
        count, mean = len(seen), gradients.mean(0)
        spread = float((gradients - mean).square().sum() / (count - 1))
        signal = float(mean @ mean) - spread / count
        assert row["batches"] == count
        assert row["scale"] == pytest.approx(spread / signal, rel=1e-6)
        assert row["lower"] <= row["scale"] <= (row["upper"] or math.inf)


def test_what_a_step_does_to_its_own_batch_and_to_others(tmp_path):
    kept = []
    rows = found(recorded(tmp_path, minibatches(4, kept, lr=0.5)), "noise")
    full = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    for step, row in rows.items():
        before = kept[step][2]
        after = before - 0.5 * (before - kept[step][1])
        fall = lambda mean, a=before, b=after: (
            0.5 * float((a - mean).square().sum() - (b - mean).square().sum())
        )
        others = [fall(kept[s][1]) for s in full if s < step][-8:]
        assert row["own_fall"] == pytest.approx(fall(kept[step][1]), rel=1e-9)
        assert row["others_fall"] == pytest.approx(sum(others) / len(others), rel=1e-9, abs=1e-12)


def test_the_whole_data_in_every_batch_has_no_noise(tmp_path):
    def training():
        x = torch.randn(50, 3, dtype=torch.float64)
        w = torch.ones(3, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            (x @ w - 1).square().mean().backward()
            optimizer.step()

    rows = found(recorded(tmp_path, training), "noise")
    assert all(abs(row["scale"]) < 1e-9 for row in rows.values())
    assert all(row["own_fall"] == pytest.approx(row["others_fall"]) for row in rows.values())


def on_a_bowl(curvatures, optimizer, start=1.0, steps=13):
    """A sum of parabolas."""

    def training():
        w = torch.full((len(curvatures),), start, dtype=torch.float64, requires_grad=True)
        chosen = optimizer([w])
        for _ in range(steps):
            chosen.zero_grad()
            (0.5 * torch.tensor(curvatures, dtype=torch.float64) * w.square()).sum().backward()
            chosen.step()

    return training


LIMITS = {
    "descent": (lambda p: torch.optim.SGD(p, lr=0.1), 2.0),
    "momentum": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5), 3.0),
    "nesterov": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5, nesterov=True), 1.5),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_rate_is_held_against_the_optimizers_own_limit(name, tmp_path):
    make, limit = LIMITS[name]
    rows = found(recorded(tmp_path, on_a_bowl([4.0, 1.0, 0.5], make)), "curvature")
    assert sorted(rows) == sorted(CURVATURE_STEPS & set(range(13)))
    for row in rows.values():
        assert row["largest"] == pytest.approx(4.0, rel=1e-6)
        assert row["limit"] == pytest.approx(limit)
        assert row["reach"] == pytest.approx(0.1 * 4.0 / limit, rel=1e-6)


def test_adams_limit_is_on_the_curvature_that_it_sees(tmp_path):
    make = lambda p: torch.optim.Adam(p, lr=0.01)
    rows = found(recorded(tmp_path, on_a_bowl([4.0, 1.0], make, steps=1)), "curvature")
    # after one step v-hat is g^2: the preconditioned curvatures are h / |g| = h / (h w) = 1
    assert rows[0]["limit"] == pytest.approx(38.0)
    assert rows[0]["reach"] == pytest.approx(0.01 * 1.0 / 38.0, rel=1e-3)


def test_conditioning_counts_what_is_still_to_be_gained(tmp_path):
    make = lambda p: torch.optim.SGD(p, lr=0.001)
    rows = found(recorded(tmp_path, on_a_bowl([100.0, 1.0], make)), "curvature")
    assert "gain_condition" not in rows[0]
    w = [0.9**12, 0.999**12]
    gains = [0.5 * 100.0 * w[0] ** 2, 0.5 * w[1] ** 2]
    typical = (gains[0] * 100.0 + gains[1] * 1.0) / sum(gains)
    assert rows[12]["gain_condition"] == pytest.approx(100.0 / typical, rel=1e-6)


POINTS = {
    "no critical point": ([4.0, 1.0], 1.0),
    "minimum": ([4.0, 1.0], 1e-7),
    "saddle": ([4.0, -1.0], 1e-7),
    "plateau": ([1e-9, 1e-9], 1.0),
}


@pytest.mark.parametrize("kind", POINTS)
def test_kinds_of_points(kind, tmp_path):
    curvatures, start = POINTS[kind]

    def training():
        w = torch.full((2,), start, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1e-3)
        bowl = torch.tensor(curvatures, dtype=torch.float64)
        optimizer.zero_grad()
        (1 + 0.5 * (bowl * w.square()).sum()).backward()
        optimizer.step()

    assert found(recorded(tmp_path, training), "curvature")[0]["point"] == kind


def fitted(weight, loss_of, targets):
    """A linear fit of eight targets or more under a penalty on its size."""

    def training():
        x = torch.randn(len(targets), 4, dtype=torch.float64)
        outputs = targets.shape[1] if targets.is_floating_point() else 3
        w = torch.randn(4, outputs, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.01)
        loss_of(x @ w, targets, weight * w.square().sum()).backward()
        kept.append((x @ w).detach())
        optimizer.step()

    kept = []
    return training, kept


def squared(out, y, added):
    return (out - y).square().mean() + added


def by_function(out, y, added):
    return added + torch.nn.functional.mse_loss(out, y)


def classified(out, y, added):
    return torch.nn.functional.cross_entropy(out, y) + added


NUMBERS = torch.linspace(-3, 5, 24, dtype=torch.float64).reshape(12, 2)
LABELS = torch.tensor([0, 1, 2, 2, 2, 1, 0, 2, 2, 2])


@pytest.mark.parametrize(
    "loss, y", [(squared, NUMBERS), (by_function, NUMBERS), (classified, LABELS)]
)
def test_what_is_added_to_a_loss_and_what_the_outputs_explain(loss, y, tmp_path):
    training, kept = fitted(0.7, loss, y)
    row = found(recorded(tmp_path, training), "terms")[0]
    out = kept[0]
    if y.is_floating_point():
        explained = 1 - float((out - y).pow(2).sum() / (y - y.mean(0)).pow(2).sum())
    else:
        shares = [2 / 10, 2 / 10, 6 / 10]
        constant = -sum(one * math.log(one) for one in shares)
        chosen = out.log_softmax(1)[range(len(y)), y]
        explained = 1 + float(chosen.mean()) / constant
    assert row["explained"] == pytest.approx(explained, rel=1e-10)
    assert row["added"] > 0


def test_a_loss_without_a_term_of_its_own_has_no_terms(tmp_path):
    training, _ = fitted(0.0, lambda out, y, _: (out - y).square().mean(), NUMBERS)
    assert found(recorded(tmp_path, training), "terms") == {}
