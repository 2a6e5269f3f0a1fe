"""Readings: a script's own evaluations, by the value that it prints and the kind that it is."""

import math

import pytest
import torch
from observing import recorded
from torch.nn import functional as F
from training_programs import descend, network, table

EVALUATIONS = {}


def evaluation(kind, **options):
    """An idiom of evaluating: what it prints must be read, as this kind."""

    def add(function):
        EVALUATIONS[function.__name__] = (function, kind, options)
        return function

    return add


@evaluation("accuracy")
def mean_of_equal(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


@evaluation("accuracy")
def counts_over_batches(model, x, y):
    correct = total = 0
    with torch.no_grad():
        for part, labels in zip(x.split(20), y.split(20), strict=True):
            _, found = torch.max(model(part), 1)
            correct += (found == labels).sum().item()
            total += len(part)
    return correct / total


@evaluation("accuracy")
def eq_under_inference_mode(model, x, y):
    with torch.inference_mode():
        return float(model(x).softmax(1).max(1).indices.eq(y).sum()) / len(y)


@evaluation("accuracy", with_gradients=True)
def no_context_at_all(model, x, y):
    return (model(x).argmax(1) == y).float().mean().item()


@evaluation("accuracy", with_gradients=True)
def old_style_data(model, x, y):
    out = model(x)
    return out.data.max(1, keepdim=True)[1].eq(y.data.view(-1, 1)).sum().item() / len(y)


@evaluation("accuracy", with_gradients=True)
def through_numpy(model, x, y):
    return float((model(x).detach().argmax(1) == y).numpy().mean())


@evaluation("accuracy")
def rounded_probabilities(model, x, y):
    with torch.no_grad():
        return (torch.sigmoid(model(x)[:, 0]).round() == (y == 0)).float().mean().item()


@evaluation("rate")
def a_share_by_comparison(model, x, y):
    with torch.no_grad():
        return (model(x)[:, 0] > 0.1).float().mean().item()


@evaluation("loss")
def loss_under_no_grad(model, x, y):
    with torch.no_grad():
        return F.cross_entropy(model(x), y).item()


@evaluation("loss", with_gradients=True)
def loss_with_gradients(model, x, y):
    return F.cross_entropy(model(x), y).item()


@evaluation("loss", with_gradients=True)
def loss_detached_to_numpy(model, x, y):
    return float(F.cross_entropy(model(x), y).detach().numpy())


@evaluation("loss", digits=3)
def loss_formatted(model, x, y):
    with torch.no_grad():
        return float(f"{F.cross_entropy(model(x), y):.3f}")


@evaluation("loss")
def root_of_mean_square(model, x, y):
    with torch.no_grad():
        return F.mse_loss(model(x)[:, 0], y.float()).sqrt().item()


@evaluation("loss")
def loss_by_keywords(model, x, y):
    with torch.no_grad():
        return F.cross_entropy(input=model(x), target=y).item()


@evaluation("error")
def error_by_hand(model, x, y):
    with torch.no_grad():
        return (model(x)[:, 0] - y).abs().mean().item()


@evaluation("error", with_gradients=True)
def error_by_hand_with_gradients(model, x, y):
    return ((model(x)[:, 0] - y) ** 2).mean().sqrt().item()


@evaluation("error")
def detached_leaves(model, x, y):
    w, b = model[0].weight.detach(), model[0].bias.detach()
    return (x @ w.T + b)[:, 0].sub(y).square().mean().item()


@evaluation("loss")
def mean_over_equal_batches(model, x, y):
    losses = []
    with torch.no_grad():
        for part, labels in zip(x.split(16), y.split(16), strict=True):
            losses.append(F.cross_entropy(model(part), labels).item())
    return sum(losses) / len(losses)


def trained(evaluate, each=True):
    """Training that evaluates after each update, or once at the end."""

    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for step in range(4):
            descend(model, optimizer, x, y, lambda value: None, 1)
            if each or step == 3:
                say(evaluate(model, x, y))
        return model.parameters()

    return program


@pytest.mark.parametrize("name", EVALUATIONS)
@pytest.mark.parametrize("each", [True, False])
def test_an_evaluation_is_read_as_what_it_is(name, each, tmp_path):
    function, kind, options = EVALUATIONS[name]
    outcome, recording = recorded(trained(function, each), tmp_path)
    measure = recording.measure()
    if each and options.get("with_gradients"):
        assert measure is None  # while training goes on, this is how it prints its own
        return
    assert measure is not None
    assert measure[0].startswith("test_readings.py:")
    assert measure[1] == kind
    series = recording.series(measure)
    assert [step for step, _ in series] == ([1, 2, 3, 4] if each else [4])
    near = 10.0 ** -options["digits"] if "digits" in options else 1e-6
    for (_, value), said in zip(series, outcome.said, strict=True):
        assert value == pytest.approx(float(said), abs=near)


TRAINING_PRINTS = {
    "item": lambda loss, model: loss.item(),
    "format": lambda loss, model: f"{loss:.4f}",
    "detached": lambda loss, model: loss.detach().item(),
    "data": lambda loss, model: loss.data.item(),
    "norm of a gradient": lambda loss, model: model[0].weight.grad.norm().item(),
    "norm of a weight": lambda loss, model: model[0].weight.norm().item(),
    "a weight": lambda loss, model: model[0].bias[0].item(),
    "change of a weight": lambda loss, model: model[0].weight.data.abs().max().item(),
}


@pytest.mark.parametrize("name", TRAINING_PRINTS)
def test_what_training_prints_is_no_evaluation(name, tmp_path):
    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        with torch.no_grad():
            kept = model(x)  # evaluated, and not read
        for _ in range(5):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            say(TRAINING_PRINTS[name](loss, model))
        return [*model.parameters(), kept]

    _, recording = recorded(program, tmp_path)
    assert recording.measure() is None


LAST_PRINTS = {
    "item": lambda loss: loss.item(),
    "format": lambda loss: f"{loss:.4f}",
    "detached": lambda loss: loss.detach().item(),
    "its root": lambda loss: loss.detach().sqrt().item(),
    "as a number": lambda loss: float(loss),
}


@pytest.mark.parametrize("name", LAST_PRINTS)
@pytest.mark.parametrize("evaluates", [False, True])
def test_the_last_training_loss_is_no_evaluation_after_training_either(name, evaluates, tmp_path):
    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(3):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        if evaluates:
            say(F.cross_entropy(model(x[:20]), y[:20]).item())
        say(LAST_PRINTS[name](loss))
        return model.parameters()

    outcome, recording = recorded(program, tmp_path)
    measure = recording.measure()
    assert (measure is not None) == evaluates
    if measure:
        assert recording.series(measure) == [(3, pytest.approx(float(outcome.said[0])))]


QUIET = {
    "weights": lambda model: model[0].weight.norm().item(),
    "weights without gradients": lambda model: model[0].weight.detach().square().sum().item(),
    "one weight": lambda model: float(model[3].bias.detach()[0]),
}


@pytest.mark.parametrize("name", QUIET)
def test_looking_at_weights_after_training_is_no_evaluation(name, tmp_path):
    def program(say):
        x, y = table()
        model = network()
        descend(model, torch.optim.SGD(model.parameters(), lr=0.3), x, y, lambda value: None)
        with torch.no_grad():
            kept = model(x)
            say(QUIET[name](model))
        say(QUIET[name](model))
        del kept
        return model.parameters()

    _, recording = recorded(program, tmp_path)
    assert recording.measure() is None


def test_an_optimizer_with_a_closure_reads_nothing_for_the_script(tmp_path):
    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
        with torch.no_grad():
            say((model(x).argmax(1) == y).float().mean().item())
        return model.parameters()

    outcome, recording = recorded(program, tmp_path)
    evaluations = {one["kind"] for one in recording.readings if not one["training"]}
    assert evaluations == {"accuracy", "rate"}
    assert recording.series(recording.measure()) == [(1, pytest.approx(float(outcome.said[0])))]


def test_training_set_and_test_set_are_two_passes(tmp_path):
    def share(model, x, y):
        with torch.no_grad():
            return (model(x).argmax(1) == y).float().mean().item()

    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(3):
            descend(model, optimizer, x[:30], y[:30], lambda value: None, 1)
            share(model, x[:30], y[:30]), say(share(model, x[30:], y[30:]))
        return model.parameters()

    outcome, recording = recorded(program, tmp_path)
    values = [value for _, value in recording.series(recording.measure())]
    assert values == pytest.approx([float(said) for said in outcome.said])


def test_a_value_that_is_not_finite_is_no_number(tmp_path):
    def infinite(model, x, y):
        return F.mse_loss(model(x).detach() / 0, x[:, :3]).item()

    _, recording = recorded(trained(infinite), tmp_path)
    assert all(math.isnan(value) for _, value in recording.series(recording.measure()))


def test_training_prints_do_not_crowd_evaluations_out(tmp_path):
    from thalweg.recorder import Recorder, Session

    recorder = Recorder(tmp_path, tmp_path)
    recorder.readings._limit = 10

    def train():
        x, y = table()
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(30):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.item()  # before it is differentiated, so that it could be anything
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return F.cross_entropy(model(x), y).item()

    with Session([recorder]):
        train()
    readings = recorder.readings.readings
    assert sum(one.training for one in readings) == 5
    assert [one.kind for one in readings if not one.training] == ["loss"]
