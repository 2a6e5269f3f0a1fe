"""Metrics that a script computes with scikit-learn: read where they are of its model, by value."""

import inspect
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from observing import recorded
from sklearn import metrics
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC
from torch import nn
from torch.nn import functional as F
from training_programs import descend, network, table

from thalweg.recorder import Recording
from thalweg.recorder.own_metrics import last_rows, made_of, metrics_of
from thalweg.recorder.recording import higher_is_better, sort_of

EVALUATIONS = {}


def evaluation(kind, higher, certain=True):
    """An idiom of evaluating: what it gives must be read, as this kind."""

    def add(function):
        EVALUATIONS[function.__name__] = (function, kind, higher, certain)
        return function

    return add


@evaluation("accuracy", True)
def accuracy(model, x, y):
    with torch.no_grad():
        return metrics.accuracy_score(y.numpy(), model(x).argmax(1).numpy())


@evaluation("balanced accuracy score", True)
def tensors_as_they_are(model, x, y):
    with torch.no_grad():
        return metrics.balanced_accuracy_score(y, model(x).argmax(1))


@evaluation("f1 score", True)
def collected_over_batches(model, x, y):
    found, true = [], []
    with torch.inference_mode():
        for part, labels in zip(x.split(20), y.split(20), strict=True):
            found.extend(model(part).argmax(dim=1).tolist())
            true.extend(labels.tolist())
    return f1_score(true, found, average="macro")


@evaluation("f1 score", True)
def each_by_itself(model, x, y):
    with torch.no_grad():
        found = [model(row[None]).argmax().item() for row in x]
    return f1_score(y.tolist(), y_pred=found, average="micro")


@evaluation("f1 score", True)
def largest_by_numpy(model, x, y):
    model.eval()
    with torch.no_grad():
        outputs = np.concatenate([model(part).numpy() for part in x.split(20)])
    return f1_score(y.numpy(), outputs.argmax(axis=1), average="weighted")


@evaluation("f1 score", True)
def labels_of_many(model, x, y):
    with torch.no_grad():
        found = torch.cat([model(part) > 0 for part in x.split(20)]).numpy()
    return f1_score(F.one_hot(y).numpy(), found, average="micro", zero_division=0)


@evaluation("roc auc score", True)
def probability_by_numpy(model, x, y):
    with torch.no_grad():
        outputs = model(x)[:, 0].cpu().numpy()
    return metrics.roc_auc_score(y.numpy() == 0, 1 / (1 + np.exp(-outputs)))


@evaluation("r2 score", True)
def in_other_units(model, x, y):
    with torch.no_grad():
        found = model(x)[:, 0].numpy() * 20.0 - 7.0
    return metrics.r2_score(y.numpy() * 20.0, found)


@evaluation("mean squared error", False)
def error(model, x, y):
    with torch.no_grad():
        return metrics.mean_squared_error(x[:, :3].numpy(), model(x).numpy())


@evaluation("log loss", False)
def loss(model, x, y):
    with torch.no_grad():
        return metrics.log_loss(y.numpy(), model(x).softmax(1).numpy())


@evaluation("error rate", False)
def misses(model, x, y):
    with torch.no_grad():
        return metrics.zero_one_loss(y, model(x).argmax(1))


@evaluation("matthews corrcoef", True)
def correlation(model, x, y):
    with torch.no_grad():
        return metrics.matthews_corrcoef(y, model(x).argmax(1))


@evaluation("roc auc score", True, certain=False)
def a_score_of_its_own_making(model, x, y):
    with torch.no_grad():
        distances = ((model(x).numpy() - x[:, :3].numpy()) ** 2).sum(1)
    return metrics.roc_auc_score(y.numpy() == 0, distances)


def trained(evaluate, after=lambda model, x, y: None):
    """A program that evaluates after each of three epochs."""

    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(3):
            descend(model, optimizer, x, y, lambda value: None, 1)
            say(float(evaluate(model, x, y)))
            after(model, x, y)
        return model.parameters()

    return program


def read_back(folder):
    found = Recording.read(folder)
    return found, found.measure()


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_metric_of_the_outputs_is_read(name, tmp_path):
    evaluate, kind, higher, certain = EVALUATIONS[name]
    outcome, recording = recorded(trained(evaluate), tmp_path, full=False)
    measure = recording.measure()
    assert measure[1] == kind
    assert measure[0].startswith("test_own_metrics.py:")
    assert higher_is_better(kind) is higher
    values = [value for _, value in recording.series(measure)]
    assert values == [float(said) for said in outcome.said]
    rows = [one for one in recording.readings if one["kind"] == kind]
    assert {(one["training"], one["doubtful"]) for one in rows} == {(False, not certain)}


def of_a_baseline(model, x, y):
    metrics.accuracy_score(y, LinearSVC(C=0.01).fit(x, y).predict(x.numpy()))


def of_random_guesses(model, x, y):
    f1_score(y, np.random.default_rng(0).permutation(y.numpy()), average="macro")


def of_the_targets(model, x, y):
    metrics.mean_absolute_error(x[:, 0].numpy(), np.full(len(x), float(x[:, 0].mean())))


@pytest.mark.parametrize("other", [of_a_baseline, of_random_guesses, of_the_targets])
@pytest.mark.parametrize("name", ["accuracy", "largest_by_numpy", "probability_by_numpy"])
def test_a_metric_of_something_else_is_no_measure(name, other, tmp_path):
    evaluate, kind, *_ = EVALUATIONS[name]
    outcome, recording = recorded(trained(evaluate, other), tmp_path, full=False)
    measure = recording.measure()
    assert [v for _, v in recording.series(measure)] == [float(said) for said in outcome.said]
    assert measure[1] == kind


@pytest.mark.parametrize("other", [of_a_baseline, of_random_guesses, of_the_targets])
def test_a_metric_without_any_outputs_is_none(other, tmp_path):
    _, recording = recorded(trained(lambda *given: other(*given) or 0.0), tmp_path, full=False)
    assert recording.measure() is None
    assert recording.readings == []


@pytest.mark.parametrize("when", ["before the update", "after the update"])
def test_the_metric_of_a_training_epoch_is_none(when, tmp_path):
    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(3):
            found, true = [], []
            for part, labels in zip(x.split(12), y.split(12), strict=True):
                outputs = model(part)
                optimizer.zero_grad()
                F.cross_entropy(outputs, labels).backward()
                if when == "before the update":
                    found.extend(outputs.argmax(1).tolist())
                optimizer.step()
                if when == "after the update":
                    found.extend(outputs.argmax(1).tolist())
                true.extend(labels.tolist())
            say(f1_score(true, found, average="macro"))
        return model.parameters()

    _, recording = recorded(program, tmp_path, full=False)
    assert recording.measure() is None


def test_training_set_and_test_set_are_two_passes(tmp_path):
    def score(model, x, y):
        with torch.no_grad():
            return f1_score(y, model(x).argmax(1), average="macro")

    def evaluate(model, x, y):
        score(model, x[:30], y[:30])
        return score(model, x[30:], y[30:])

    outcome, recording = recorded(trained(evaluate), tmp_path, full=False)
    values = [value for _, value in recording.series(recording.measure())]
    assert values == [float(said) for said in outcome.said]


@pytest.mark.parametrize(
    ("given", "error"),
    [(([0, 1], [0, 1, 1]), ValueError), (([0, 1], [0, 1], "none"), TypeError)],
)
def test_what_a_metric_raises_is_the_scripts(given, error, tmp_path):
    with pytest.raises(error) as alone:
        f1_score(*given)

    def evaluate(model, x, y):
        with torch.no_grad():
            model(x).tolist()
        with pytest.raises(error) as under:
            f1_score(*given)
        assert str(under.value) == str(alone.value)
        return 0.0

    _, recording = recorded(trained(evaluate), tmp_path, full=False)
    assert recording.measure() is None


def test_arguments_that_are_no_tables_raise_nothing(tmp_path):
    def evaluate(model, x, y):
        with torch.no_grad():
            found = model(x).argmax(1).tolist()
        return f1_score([f"class {k}" for k in y], [f"class {k}" for k in found], average="macro")

    outcome, recording = recorded(trained(evaluate), tmp_path, full=False)
    series = recording.series(recording.measure())
    assert [value for _, value in series] == [float(said) for said in outcome.said]


def test_several_numbers_are_no_measure(tmp_path):
    def evaluate(model, x, y):
        with torch.no_grad():
            found = model(x).argmax(1)
        return f1_score(y, found, average=None).sum() + metrics.confusion_matrix(y, found).sum()

    _, recording = recorded(trained(evaluate), tmp_path, full=False)
    assert recording.readings == []


def test_a_metric_that_is_not_finite_is_no_number(tmp_path):
    def evaluate(model, x, y):
        with torch.no_grad(), pytest.warns(UserWarning, match="well-defined"):
            return metrics.r2_score([1.0], model(x)[:1, 0].numpy())

    _, recording = recorded(trained(evaluate), tmp_path, full=False)
    assert all(math.isnan(value) for _, value in recording.series(recording.measure()))


def test_the_library_is_as_it_was(tmp_path):
    functions = {name: getattr(metrics, name) for name, _ in metrics_of(metrics)}
    inside = {name: cell.cell_contents for name, cell in metrics_of(metrics)}
    signatures = {name: str(inspect.signature(one)) for name, one in functions.items()}
    differed = []

    def evaluate(model, x, y):
        value = accuracy(model, x, y)
        differed.append({n: c.cell_contents for n, c in metrics_of(metrics)} != inside)
        for name, one in functions.items():
            assert pickle.loads(pickle.dumps(one)) is one is getattr(metrics, name)
            assert str(inspect.signature(one)) == signatures[name]
        return value

    recorded(trained(evaluate), tmp_path, full=False)
    assert differed == [True] * 3
    assert {name: cell.cell_contents for name, cell in metrics_of(metrics)} == inside
    assert {"accuracy_score", "f1_score", "r2_score", "mean_squared_error"} <= set(inside)


def test_the_library_is_as_it_was_after_a_script_that_fails(tmp_path):
    inside = {name: cell.cell_contents for name, cell in metrics_of(metrics)}

    def evaluate(model, x, y):
        accuracy(model, x, y)
        raise KeyError("x")

    with pytest.raises(KeyError):
        recorded(trained(evaluate), tmp_path, full=False)
    assert {name: cell.cell_contents for name, cell in metrics_of(metrics)} == inside
    assert read_back(tmp_path)[1][1] == "accuracy"


def test_one_metric_by_means_of_another_is_one(tmp_path):
    def evaluate(model, x, y):
        with torch.no_grad():
            return metrics.root_mean_squared_error(x[:, :3], model(x))

    _, recording = recorded(trained(evaluate), tmp_path, full=False)
    assert {one["kind"] for one in recording.readings} == {"root mean squared error"}


def test_every_metric_of_predictions_has_a_direction():
    names = [name for name, _ in metrics_of(metrics)]
    for name in names:
        worse = name.endswith(("_loss", "_error", "_deviance"))
        assert higher_is_better(name.replace("_", " ")) is not worse
        assert sort_of(name.replace("_", " ")) in ("score", "error", "loss")


OUTPUTS = np.array([[0.3, 0.5], [-1.0, 2.0], [0.9, 0.1], [0.2, 0.4], [0.6, 0.7]])
COLUMN = OUTPUTS[:, :1]
MADE = {
    "itself": (COLUMN, COLUMN),
    "the largest": (np.array([[1.0], [1], [0], [1], [1]]), OUTPUTS),
    "a threshold": ((COLUMN > 0.25).astype(float), COLUMN),
    "below a threshold": ((COLUMN < 0.25).astype(float), COLUMN),
    "another unit": (32 + 1.8 * COLUMN, OUTPUTS),
    "an exponential": (np.exp(OUTPUTS), OUTPUTS),
    "thresholds": ((OUTPUTS > 0.45).astype(float), OUTPUTS),
    "all the same": (np.zeros((5, 1)), np.zeros((5, 1))),
}
NOT_MADE = {
    "another order": (COLUMN[[0, 2, 1, 3, 4]], COLUMN),
    "another column": (OUTPUTS[:, ::-1], OUTPUTS),
    "one exchanged": (np.array([[0.0], [1], [0], [1], [1]]), OUTPUTS),
    "always the same": (np.ones((5, 1)), COLUMN),
    "fewer columns": (np.c_[OUTPUTS, OUTPUTS], OUTPUTS),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_outputs(name):
    assert made_of(*MADE[name])


@pytest.mark.parametrize("name", NOT_MADE)
def test_what_is_not_made_of_outputs(name):
    assert not made_of(*NOT_MADE[name])


@pytest.mark.parametrize(
    ("sizes", "count", "first"),
    [([3, 2], 5, 0), ([9, 3, 2], 5, 9), ([2], 2, 0), ([3, 2], 4, None), ([], 0, None)],
)
def test_the_last_rows(sizes, count, first):
    ends = np.cumsum([0, *sizes])
    tables = [np.arange(a, b, dtype=float)[:, None] for a, b in itertools.pairwise(ends)]
    found = last_rows(tables, count)
    if first is None:
        assert found is None
    else:
        assert found[:, 0].tolist() == list(range(first, first + count))


def test_nothing_is_kept_while_the_library_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "sklearn.metrics")
    _, recording = recorded(trained(accuracy), tmp_path, full=False)
    assert recording.readings == []


def test_the_mean_over_batches_is_one_reading(tmp_path):
    def evaluate(model, x, y):
        scores = []
        with torch.no_grad():
            for part, labels in zip(x.split(12), y.split(12), strict=True):
                scores.append(metrics.accuracy_score(labels, model(part).argmax(1)))
        return np.mean(scores)

    outcome, recording = recorded(trained(evaluate), tmp_path, full=False)
    values = [value for _, value in recording.series(recording.measure())]
    assert values == pytest.approx([float(said) for said in outcome.said])


def test_a_metric_with_gradients_on_after_training(tmp_path):
    def program(say):
        x, _ = table()
        model = nn.Linear(5, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            F.mse_loss(model(x)[:, 0], x.sum(1)).backward()
            optimizer.step()
        say(metrics.mean_absolute_error(x.sum(1), model(x).detach()))  # with gradients
        return model.parameters()

    outcome, recording = recorded(program, tmp_path, full=False)
    measure = recording.measure()
    assert measure[1] == "mean absolute error"
    assert recording.series(measure) == [(5, float(outcome.said[0]))]
