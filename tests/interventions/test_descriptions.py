"""Interventions as plain data: what a report carries and `thalweg run --apply` uses."""

import dataclasses
import json

import pytest
from scripts_and_edits import equal, run, script
from torch.nn import functional as F

from thalweg.interventions import (
    INTERVENTIONS,
    ActivationSwap,
    Averaging,
    BatchSize,
    ClassWeights,
    ClearStaleGradients,
    Clipping,
    EarlyStopping,
    Initialization,
    InputStandardization,
    InsertedActivation,
    InterventionError,
    LearningRate,
    LossWiring,
    MasterWeights,
    Method,
    Mode,
    Normalization,
    OptimizerSetting,
    OptimizerSwap,
    OtherSign,
    Penalty,
    PermutedTargets,
    Perturbation,
    Regularization,
    SafeOperations,
    Schedule,
    Shuffling,
    TargetStandardization,
    TrainedParameters,
    TrimmedLoss,
    WiderLayers,
    from_data,
)
from thalweg.interventions.longer_training import LongerTraining

SOME = [
    ActivationSwap("gelu", [0, 2], 3),
    ActivationSwap("identity", [1], 2),
    ActivationSwap("identity", [0], 2),
    Averaging(6),
    Averaging(40, 30),
    BatchSize(4),
    ClassWeights([1.0, 2.5]),
    ClearStaleGradients(),
    Clipping(0.3),
    EarlyStopping(7),
    Initialization("glorot"),
    Initialization("orthogonal", recurrent_only=True),
    InputStandardization(),
    InputStandardization([{"mean": [0.5, 1.0], "std": [1.0, 2.0]}, {"mean": 0.0, "std": 3.0}]),
    InputStandardization([{"whitening": [[1.0, 0.25], [0.25, 2.0]]}]),
    InsertedActivation("tanh", [0], 2),
    LearningRate(0.25),
    LearningRate(value=3e-4),
    LearningRate(1.0, hold=True),
    LongerTraining(4),
    LossWiring("log-probabilities"),
    MasterWeights(),
    Method("l-bfgs"),
    Method("newton", {"largest": 100}, "fixed", {"step": 0.5}),
    Mode("training"),
    Normalization([1], 4),
    OptimizerSetting({"betas": [0.9, 0.95], "eps": 1e-8}),
    OptimizerSwap("adam"),
    OptimizerSwap("sgd", 0.05, {"momentum": 0.9}),
    OtherSign(),
    Penalty(0.1),
    PermutedTargets(),
    Perturbation(0.1, 3),
    Perturbation(0.1, alike=True),
    Regularization(0.5),
    SafeOperations(1e-8),
    Schedule(6),
    Schedule(6, "linear", 2),
    Shuffling(),
    TargetStandardization(2.0, 0.5, 1, 3, 1),
    TargetStandardization([2.0, 0.0], [0.5, 3.0], 1, 3, 2, "cat"),
    TrainedParameters(),
    TrimmedLoss(0.3, 2),
    WiderLayers([0], 2, factor=3),
    WiderLayers([0], 2, units=20),
]


def penalized():
    """A script whose loss has a term of its own besides, so that there is one to be scaled."""

    def loss(model, x, y):
        fit = F.cross_entropy(model(x), y)
        return fit + 1e-3 * sum(p.square().sum() for p in model.parameters())

    return script(loss_of=loss)


def settings(one):
    """What describes an intervention."""
    return {f.name: getattr(one, f.name) for f in dataclasses.fields(one) if f.init}


def test_every_kind_is_in_the_table():
    assert {one.kind for one in SOME} == set(INTERVENTIONS)


@pytest.mark.parametrize("one", SOME, ids=lambda one: one.name())
def test_a_description_makes_the_same_again(one):
    data = one.as_data()
    again = from_data(json.loads(json.dumps(data, allow_nan=False)))
    assert type(again) is type(one)
    assert settings(again) == settings(one)
    assert again.as_data() == data
    assert data["kind"] == one.kind


@pytest.mark.parametrize("one", SOME, ids=lambda one: one.name())
def test_a_description_does_not_change_by_being_used(one):
    again = from_data(one.as_data())
    run(penalized(), [again])
    assert again.as_data() == one.as_data()


@pytest.mark.parametrize("one", SOME, ids=lambda one: one.name())
def test_it_can_be_told_to_a_person(one):
    assert one.name()
    assert one.says().endswith(".")
    assert one.says()[0].isupper()
    assert isinstance(one.edit(), str)


@pytest.mark.parametrize("one", SOME, ids=lambda one: one.name())
def test_a_second_training_in_the_process_is_untouched(one):
    before = run(penalized())
    run(penalized(), [from_data(one.as_data())])
    equal(run(penalized()), before)


WRONG = {
    "unknown kind, near one": (
        {"kind": "clip"}, r"no intervention 'clip'; did you mean 'clipping'\?",
    ),
    "unknown kind": (
        {"kind": "magic"}, r"no intervention 'magic'; known: activation, averaging, batch-size",
    ),
    "no kind": ({"norm": 1.0}, "there is no intervention None"),
    "unknown setting": (
        {"kind": "clipping", "size": 1.0}, "clipping: no such setting 'size'; it has norm",
    ),
    "no settings at all": ({"kind": "other-sign", "x": 1}, "no such setting 'x'; it has none"),
    "private setting": (
        {"kind": "learning-rate", "factor": 2.0, "_kept": {}}, "no such setting '_kept'",
    ),
    "norm": ({"kind": "clipping", "norm": 0.0}, "norm=0.0: it must be positive and finite"),
    "rate both": ({"kind": "learning-rate", "factor": 2.0, "value": 1.0}, "give one of them"),
    "rate none": ({"kind": "learning-rate"}, "factor=None, value=None: give one of them"),
    "rate negative": ({"kind": "learning-rate", "factor": -1.0}, "factor=-1.0"),
    "rate not a number": ({"kind": "learning-rate", "value": float("nan")}, "value=nan"),
    "optimizer": (
        {"kind": "optimizer", "name": "adamm"}, "there is no 'adamm'; choose one of adabelief",
    ),
    "optimizer unnamed": ({"kind": "optimizer"}, "choose one of"),
    "optimizer's setting": (
        {"kind": "optimizer", "name": "adam", "settings": {"momentun": 0.9}}, "momentun",
    ),
    "optimizer's rate": ({"kind": "optimizer", "name": "adam", "lr": -0.1}, "lr"),
    "method": (
        {"kind": "method", "name": "lbgfs"}, "there is no name 'lbgfs'; did you mean 'l-bfgs'",
    ),
    "method unnamed": ({"kind": "method"}, "there is no name ''; `thalweg explain` lists"),
    "method's setting": (
        {"kind": "method", "name": "l-bfgs", "settings": {"momory": 5}},
        "l-bfgs has no setting 'momory'; it has memory, damping",
    ),
    "method's value": (
        {"kind": "method", "name": "l-bfgs", "settings": {"memory": 0}}, "memory=0",
    ),
    "method's search": (
        {"kind": "method", "name": "bfgs", "search": "wolfe"}, "there is no search 'wolfe'",
    ),
    "method's search's setting": (
        {"kind": "method", "name": "bfgs", "search_settings": {"step": 1}}, "without a search",
    ),
    "method without model": (
        {"kind": "method", "name": "cg", "search": "trust-region"},
        "polak-ribiere[+] has no quadratic model",
    ),
    "scheme": ({"kind": "initialization", "scheme": "hee"}, "scheme='hee': choose one of he"),
    "activation": ({"kind": "activation", "to": "rely"}, "to='rely': choose one of leaky_relu"),
    "wiring": ({"kind": "loss-wiring", "reading": "odds"}, "reading='odds': choose one of logits"),
    "mode": ({"kind": "mode", "where": "testing"}, "choose evaluation or training"),
    "step": ({"kind": "early-stopping", "step": 0}, "step=0: give at least 1"),
    "factor": ({"kind": "regularization", "factor": 2.0}, "factor=2.0: give 0 to 1"),
    "margin": ({"kind": "safe-operations", "margin": 0}, "margin=0: give 0 to 1"),
    "deviation": ({"kind": "target-standardization", "std": 0.0}, "the deviation positive"),
    "columns": (
        {"kind": "target-standardization", "mean": [0.0, 1.0], "std": [1.0]}, "lists of as many",
    ),
    "averaging": ({"kind": "averaging"}, "steps=0: give the steps of the run"),
    "averaging's begin": ({"kind": "averaging", "steps": 9, "since": 9}, "since=9: give 0 to 8"),
    "batch": ({"kind": "batch-size", "factor": 1}, "factor=1: give 2 or more"),
    "inserted": (
        {"kind": "inserted-activation", "to": "identity"}, "to='identity': choose one of leaky",
    ),
    "noise": ({"kind": "perturbation", "scale": 0.0}, "scale=0.0: give a positive number"),
    "noise's step": ({"kind": "perturbation", "step": -1}, "step=-1: give 0 or more"),
    "schedule": ({"kind": "schedule"}, "steps=0: give the steps of the run"),
    "schedule's shape": (
        {"kind": "schedule", "steps": 9, "shape": "sine"}, "shape='sine': choose one of cosine",
    ),
    "schedule's warmup": (
        {"kind": "schedule", "steps": 9, "warmup": 9}, "warmup=9: give fewer than the 9 steps",
    ),
    "trimmed": ({"kind": "trimmed-loss", "share": 1.0}, "share=1.0: give a share of 0 to 1"),
    "trimmed late": ({"kind": "trimmed-loss", "after": -1}, "after=-1: give 0 or more"),
    "wider both": (
        {"kind": "wider-layers", "positions": [0], "factor": 2, "units": 9}, "give one of them",
    ),
    "wider nowhere": (
        {"kind": "wider-layers", "factor": 2}, "name hidden layers, from 0 to 0",
    ),
    "wider by nothing": (
        {"kind": "wider-layers", "positions": [0], "factor": 1}, "a factor of 2 or more",
    ),
    "wider outputs": (
        {"kind": "wider-layers", "positions": [1], "period": 2, "factor": 2}, "positions=\\[1\\]",
    ),
    "longer": ({"kind": "longer-training", "factor": 1}, "give 2 or more"),
    "no setting": ({"kind": "optimizer-setting"}, "name at least one setting"),
    "entrance": ({"kind": "input-standardization", "entrances": [{"mean": 0.0}]}, "entrance 0"),
    "entrance's deviation": (
        {"kind": "input-standardization", "entrances": [{"mean": [0.0], "std": [0.0]}]},
        "entrance 0: give mean and std, positive",
    ),
    "entrance's matrix": (
        {"kind": "input-standardization", "entrances": [{"whitening": [[1.0, 2.0]]}]},
        "a square matrix",
    ),
    "type": ({"kind": "clipping", "norm": "much"}, "clipping"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_errors_say_what_is_wrong(name):
    data, said = WRONG[name]
    with pytest.raises(InterventionError, match=said):
        from_data(data)
