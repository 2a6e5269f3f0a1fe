"""What is asked of a step, against the dense Hessian of the same loss written out again."""

import json
import math
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.recorder import Recorder, Session
from thalweg.survey import asking
from thalweg.survey.asking import Asking

SEED = 7
AT = 3


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def asked(tmp_path):
    """Run a training function and give its rows at step 3, by optimizer."""

    def rows(train, products=400):
        probes = (Asking(products, 0),)
        recorder = Recorder(tmp_path, tmp_path, probes, wanted={AT}.__contains__)
        torch.manual_seed(SEED)
        with Session([recorder]):
            train()
        lines = (tmp_path / "samples.jsonl").read_text().splitlines()
        found = {row["optimizer"]: row for row in map(json.loads, lines)}
        assert {row["step"] for row in found.values()} == {AT}
        return found

    return rows


def data():
    x = torch.randn(40, 3, dtype=torch.float64)
    return x, torch.randint(3, (40,))


def network(dropout=0.0):
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(dropout), nn.Linear(5, 3)).double()


def training(make, seen, dropout=0.0, loss=F.cross_entropy):
    """A program of five steps that writes down what it had before the step that is asked about."""

    def train():
        model, (x, y) = network(dropout), data()
        optimizer = make(model)
        for step in range(5):
            if step == AT:
                seen["random"] = torch.get_rng_state()
                seen["params"] = {n: p.detach().clone() for n, p in model.named_parameters()}
                seen.update(model=model, x=x, y=y)
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

    return train


def dense(seen, names=None):
    """The Hessian at the step, by torch.func, in the parameters of these names."""
    params = seen["params"]
    varied = {n: p for n, p in params.items() if names is None or n in names}

    def loss(flat):
        values, at = {}, 0
        for name, p in varied.items():
            values[name] = flat[at : at + p.numel()].reshape(p.shape)
            at += p.numel()
        torch.set_rng_state(seen["random"])  # the same dropout masks
        output = torch.func.functional_call(seen["model"], params | values, (seen["x"],))
        return F.cross_entropy(output, seen["y"])

    flat = torch.cat([p.reshape(-1) for p in varied.values()])
    return torch.autograd.functional.hessian(loss, flat)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_answers_are_those_of_the_steps_dense_hessian(asked, dropout):
    seen = {}
    sgd = lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    found = asked(training(sgd, seen, dropout))[0]["probes"]["curvature"]
    values = torch.linalg.eigvalsh(dense(seen))
    assert found["parameters"] == len(values)
    for end, truth in (("largest", values[-1]), ("smallest", values[0])):
        assert abs(found[end]["value"] - float(truth)) <= found[end]["error"] + 1e-12
        assert found[end]["error"] < 1e-3 * float(values.abs().max())
    trace = found["sharpness"]["trace"]
    assert trace["low"] <= float(values.sum()) <= trace["high"]
    threshold = found["spectrum"]["threshold"]
    assert found["spectrum"]["negative"]["low"] == int((values < -threshold).sum())
    rate = found["learning_rate"]
    assert rate["method"] == "momentum"
    assert rate["in_use"] == 0.1
    assert rate["maximal"]["value"] == pytest.approx(3.8 / float(values[-1]), rel=1e-3)
    assert rate["share"] == pytest.approx(0.1 * float(values[-1]) / 3.8, rel=1e-3)
    assert found["products"] > 0


def test_only_what_the_optimizer_moves_varies(asked):
    seen = {}

    def make(model):
        return torch.optim.SGD(
            [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.0}],
            lr=0.1,
        )

    found = asked(training(make, seen))[0]["probes"]["curvature"]
    values = torch.linalg.eigvalsh(dense(seen, {"0.weight", "0.bias"}))
    assert found["parameters"] == len(values) == 20
    assert found["largest"]["value"] == pytest.approx(float(values[-1]), rel=1e-3)


def test_adams_rates_are_those_of_the_preconditioned_hessian(asked):
    seen = {}

    def make(model):
        seen["optimizer"] = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.8, 0.99))
        return seen["optimizer"]

    def loss(output, y):  # the state as it is before the fifth step is that after the fourth
        state = seen["optimizer"].state.values()
        if state and all(float(one["step"]) == AT + 1 for one in state):
            seen["v"] = torch.cat([one["exp_avg_sq"].reshape(-1) for one in state])
        return F.cross_entropy(output, y)

    found = asked(training(make, seen, loss=loss))[0]["probes"]["curvature"]["learning_rate"]
    p = (seen["v"] / (1 - 0.99 ** (AT + 1))).sqrt() + 1e-8
    values = torch.linalg.eigvalsh(dense(seen) / (p[:, None] * p).sqrt())
    limit = (2 + 2 * 0.8) / (1 - 0.8)
    assert found["preconditioned"]
    assert found["maximal"]["value"] == pytest.approx(limit / float(values[-1]), rel=1e-3)


def test_a_weight_decay_in_the_gradient_counts_for_the_rate_alone(asked):
    seen = {}
    decayed = lambda model: torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    found = asked(training(decayed, seen))[0]["probes"]["curvature"]
    largest = float(torch.linalg.eigvalsh(dense(seen))[-1])
    assert found["largest"]["value"] == pytest.approx(largest, rel=1e-3)
    assert found["learning_rate"]["maximal"]["value"] == pytest.approx(
        2 / (largest + 0.5), rel=1e-3
    )


def test_two_optimizers_are_asked_about_their_own_parameters(asked):
    def train():
        one, other = (torch.randn(n, dtype=torch.float64).requires_grad_() for n in (4, 7))
        optimizers = [torch.optim.SGD([p], lr=0.01) for p in (one, other)]
        for _ in range(5):
            for optimizer in optimizers:
                optimizer.zero_grad()
                ((one.sum() - other.sum()) ** 2 + (one**4).sum() + (other**4).sum()).backward()
                optimizer.step()

    found = asked(train)
    sizes = {i: row["probes"]["curvature"]["parameters"] for i, row in found.items()}
    assert sizes == {0: 4, 1: 7}


def test_updates_by_hand_are_answered_for_gradient_descent(asked):
    def train():
        w = torch.ones(3, dtype=torch.float64, requires_grad=True)
        for _ in range(5):
            (w**2).sum().backward()
            with torch.no_grad():
                w -= 0.1 * w.grad
            w.grad = None

    found = asked(train)[0]["probes"]["curvature"]["learning_rate"]
    assert found["maximal"]["value"] == pytest.approx(1.0)
    assert (found["in_use"], found["share"]) == (None, None)
    assert "by hand" in found["note"]


def test_a_loss_that_is_not_finite_has_a_reason_and_no_answer(asked):
    def train():
        w = torch.ones(3, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1e30)
        for _ in range(5):
            optimizer.zero_grad()
            (w**4).sum().backward()
            optimizer.step()

    found = asked(train)[0]["probes"]["curvature"]
    assert list(found) == ["failed"]
    assert "a loss that is not finite has no curvature" in found["failed"]


def test_a_custom_function_is_the_tapes_flaw(asked):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    def train():
        w = torch.ones(3, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            Square.apply(w).sum().backward()
            optimizer.step()

    row = asked(train)[0]
    assert row["probes"] == {}
    assert "custom" in row["flaw"]


def test_an_operation_without_second_derivative_is_said():
    # cdist's backward pass has no derivative of its own for p other than 2
    w = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    step = type("Step", (), {})()
    step.number, step.optimizer, step.tapes = 0, None, []
    step.leaves = step.before = [w]
    step.loss = lambda values: torch.cdist(values[0], values[0] + 1, p=1.5).sum()
    found = Asking(400, 0)(step)["curvature"]
    text = json.dumps(found)
    assert "failed" in text
    assert "derivative" in text or "not implemented" in text


def test_autocasts_rounding_is_in_the_errors(asked):
    def train():
        model, (x, y) = network().float(), data()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(x.float()), y)
            loss.backward()
            optimizer.step()

    found = asked(train)[0]["probes"]["curvature"]
    size = max(abs(found[end]["value"]) for end in ("largest", "smallest"))
    assert found["largest"]["error"] >= size * torch.finfo(torch.bfloat16).eps
    assert ["autocast in bfloat16" in note for note in found["notes"]] == [True]


def test_half_precision_is_noted(asked):
    def train():
        w = torch.ones(3, dtype=torch.float16, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.125)
        for _ in range(5):
            optimizer.zero_grad()
            (w**2).sum().backward()
            optimizer.step()

    found = asked(train)[0]["probes"]["curvature"]
    assert found["notes"] == ["parameters in float16: few digits can be trusted"]
    assert abs(found["largest"]["value"] - 2) <= found["largest"]["error"] + 2e-3


def test_few_products_leave_the_density_out_and_say_so(asked):
    def train():
        w = torch.randn(300, dtype=torch.float64).requires_grad_()
        optimizer = torch.optim.SGD([w], lr=1e-3)
        for _ in range(5):
            optimizer.zero_grad()
            (w**4).sum().backward()
            optimizer.step()

    found = asked(train, products=100)[0]["probes"]["curvature"]
    assert found["spectrum"] == {
        "failed": "the spectrum takes at least 400 products in all, not 100"
    }
    assert found["products"] <= 100 + 10  # the gradients' own directions are beside the shares
    assert "failed" not in found["learning_rate"]


def test_products_are_as_many_as_memory_can_hold(monkeypatch):
    monkeypatch.setattr(asking, "free_bytes", lambda device: 8 * 1000 * 120)
    products, notes = asking.afforded(400, 1000, torch.device("cpu"))
    assert products == 120
    assert "120 products, not 400" in notes[0]
    assert asking.afforded(100, 1000, torch.device("cpu")) == (100, [])


def test_products_are_as_many_as_the_time_allows():
    class Slow:
        gradient = torch.ones(3)

        def __matmul__(self, vector):
            time.sleep(0.02)
            return vector

    room, notes = asking.in_time(400, 4.0, Slow())
    assert 40 <= room <= 100  # 4 s of products that take 0.02 s, and as much beside them
    assert f"about {room} products, not 400" in notes[0]
    assert asking.in_time(400, math.inf, Slow()) == (400, [])


def test_looking_leaves_the_training_as_it_is(asked):
    ends = []
    for products in (400, None):
        torch.manual_seed(SEED)
        seen = {}
        train = training(lambda m: torch.optim.Adam(m.parameters(), lr=0.1), seen, dropout=0.3)
        if products:
            asked(train, products)
        else:
            train()
        ends.append((torch.get_rng_state(), *seen["model"].parameters()))
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))
