"""What cannot be trained, measured or continued ends with one error that says what to do."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset

from thalweg.optim import SGD, ExponentialAverage, PolyakAverage
from thalweg.training import CheckpointError, fit, risk
from thalweg.training.losses import zero_one_loss

SOURCE = torch.Generator().manual_seed(0)
X = torch.randn(40, 4, generator=SOURCE)
Y = (X[:, 0] > 0).long()


def run(train=(X, Y), validation=(X, Y), loss=F.cross_entropy, make=None, **options):
    """A run; `make` gives further options from the optimizer."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = options.pop("optimizer", lambda m: SGD(m.parameters(), lr=0.1))(model)
    given = {"epochs": 2, "seed": 0} | options | (make(optimizer) if make else {})
    return model, fit(model, loss, train, validation, optimizer, **given)


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"loss": lambda o, t: 1.0}, TypeError, "the loss returned a float"),
        ({"loss": lambda o, t: (o.sum(), o)}, TypeError, "the loss returned a tuple"),
        ({"loss": lambda o, t: o.sum().detach()}, ValueError, "was it detached"),
        ({"train": (X, Y[:10])}, ValueError, r"10 samples, and a tensor of shape \(40, 4\)"),
        ({"validation": (X[:5], Y)}, ValueError, "one row a sample"),
        ({"train": []}, ValueError, "an epoch had no batch"),
        ({"train": DataLoader(TensorDataset(X, Y), 64, drop_last=True)}, ValueError, "no batch"),
        ({"validation": []}, ValueError, "holds no sample"),
        ({"metric": lambda o, t: torch.zeros(3)}, ValueError, r"has the shape \(3,\)"),
        ({"batch_size": "full"}, ValueError, "give a whole number >= 1, or 'all'"),
        ({"batch_size": math.nan}, ValueError, "give a whole number >= 1, or 'all'"),
        ({"epochs": None}, ValueError, r"epochs=None\): give a whole number >= 1"),
        ({"epochs": math.inf}, ValueError, r"epochs=inf\): give a whole number >= 1"),
        ({"loss": "ce"}, TypeError, r"loss='ce'\): give a function"),
        ({"metric": "accuracy"}, TypeError, "or an object of torchmetrics"),
        ({"clip": 1.0}, TypeError, r"clip=1.0\): give ClipNorm"),
        ({"penalty": 0.1}, TypeError, "a function of the model"),
        ({"scheduler": StepLR}, TypeError, "made of the optimizer"),
        ({"patience": 1.5}, TypeError, "a whole number of epochs"),
        ({"seed": 1.5}, TypeError, "a whole number"),
        ({"optimizer": lambda m: "adam"}, TypeError, r"optimizer='adam'\): give an optimizer"),
        (
            {"optimizer": lambda m: SGD(nn.Linear(4, 2).parameters(), lr=0.1)},
            ValueError,
            "moves no parameter of this model",
        ),
    ],
)
def test_one_error_says_it(options, error, words):
    with pytest.raises(error, match=words):
        run(**options)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"give a torch.nn.Module"):
        fit(F.relu, F.cross_entropy, (X, Y))


def test_risk_of_no_data_is_refused():
    with pytest.raises(ValueError, match="holds no sample"):
        risk(nn.Linear(4, 2), zero_one_loss, [])


def test_a_metric_that_is_never_a_number_ends_by_patience():
    _, fitted = run(metric=lambda o, t: torch.tensor(math.nan), patience=3, epochs=9)
    assert len(fitted.epochs) == 3
    assert fitted.best_epoch is None
    assert fitted.why == "what counts was not a number for 3 epochs"


# Continuing with other arguments.


def two_groups(model):
    return SGD([{"params": [model.weight]}, {"params": [model.bias]}], lr=0.1)


def loader(size, **options):
    return DataLoader(TensorDataset(X, Y), size, **options)


STEPS = {"make": lambda o: {"scheduler": StepLR(o, 1)}}
PLATEAU = {"make": lambda o: {"scheduler": ReduceLROnPlateau(o)}}
POLYAK = {"make": lambda o: {"average": PolyakAverage(o)}}
DECAYING = {"make": lambda o: {"average": ExponentialAverage(o, 0.9)}}
STOPPING = {"patience": 2, "metric": zero_one_loss}
DRAWN = {"train": loader(8, shuffle=True, generator=torch.Generator())}


@pytest.mark.parametrize(
    "first, then, words",
    [
        ({}, STEPS, "had the scheduler = None, and this one has 'StepLR'"),
        (STEPS, {}, "had the scheduler = 'StepLR', and this one has None"),
        (STEPS, PLATEAU, "this one has 'ReduceLROnPlateau'"),
        ({}, POLYAK, "had the average = None"),
        (POLYAK, DECAYING, "had the average = 'PolyakAverage'"),
        ({}, {"precision": "fp16"}, "had the scaler = None"),
        ({}, STOPPING, "had early stopping = None, and this one has 'lower is better'"),
        (STOPPING, STOPPING | {"better": "higher"}, "this one has 'higher is better'"),
        ({}, {"optimizer": two_groups}, "the optimizer saved there is another one"),
        ({"train": loader(8)}, {"train": loader(10)}, "had the training data = '5 batches of a"),
        (DRAWN, {"train": loader(8, shuffle=True)}, "had generators of the data = 1, and .* has 0"),
    ],
)
def test_another_run_is_not_continued(first, then, words, tmp_path):
    run(checkpoint=tmp_path / "run", **first)
    before = (tmp_path / "run").read_bytes()
    with pytest.raises(CheckpointError, match=words):
        run(checkpoint=tmp_path / "run", epochs=4, **then)
    assert (tmp_path / "run").read_bytes() == before


def test_a_run_that_patience_ended_goes_on_with_more(tmp_path):
    told = iter([0.5, 0.6, 0.4, 0.7, 0.8])
    options = {"metric": lambda o, t: torch.tensor(next(told)), "epochs": 9}
    _, first = run(checkpoint=tmp_path / "run", patience=1, **options)
    assert len(first.epochs) == 2
    _, more = run(checkpoint=tmp_path / "run", patience=2, **options)
    assert more.resumed_at == first.steps
    assert [epoch.number for epoch in more.epochs] == [1, 2, 3, 4, 5]
    assert more.best_epoch == 3


def test_an_interrupted_run_leaves_a_whole_checkpoint(tmp_path):
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return F.cross_entropy(outputs, targets)

    options = {"batch_size": 8, "checkpoint_every": 1, "validation": None}
    with pytest.raises(KeyboardInterrupt):
        run(loss=loss, checkpoint=tmp_path / "run", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    model, found = run(checkpoint=tmp_path / "run", **options)
    whole, expected = run(**options)
    assert found.resumed_at == 4
    assert found.losses == expected.losses
    assert torch.equal(model.weight, whole.weight)


def test_a_plateau_is_one_of_the_metric_on_held_out_data():
    """The training loss falls in every epoch, and the metric does not."""
    told = iter([0.5, 0.6, 0.7])
    seen = []

    def watched(optimizer):
        seen.append(optimizer)
        return {"scheduler": ReduceLROnPlateau(optimizer, factor=0.1, patience=0)}

    _, fitted = run(make=watched, metric=lambda o, t: torch.tensor(next(told)), epochs=3)
    losses = [epoch.train_loss for epoch in fitted.epochs]
    assert losses == sorted(losses, reverse=True)
    assert seen[0].param_groups[0]["lr"] == pytest.approx(0.001)
