"""Batches, schedules, averages, perturbations: the script under them is one edited by hand."""

import math

import pytest
import torch
from scripts_and_edits import (
    by_autograd,
    by_closure,
    by_hand,
    different,
    equal,
    network,
    run,
    script,
    table,
)
from torch.nn import functional as F
from torch.optim import SGD, Adam, lr_scheduler
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from thalweg.interventions import (
    Averaging,
    BatchSize,
    InterventionError,
    OptimizerSetting,
    Perturbation,
    Schedule,
)
from thalweg.recorder import Session


def rated(factors, base=0.1):
    """A script that sets its rate before each step, times these factors."""

    def before_step(model, optimizer, step):
        for group in optimizer.param_groups:
            group.setdefault("own", group["lr"])
            group["lr"] = group["own"] * factors[step]

    return before_step


COSINE = [0.5 * (1 + math.cos(math.pi * t / 6)) for t in range(6)]
LINEAR = [1 - t / 6 for t in range(6)]
WARM = [1 / 3, 2 / 3, 1.0, 0.75, 0.5, 0.25]  # two of warmup, then four to zero
SHORT = [1.0, 0.5, 0.0, 0.0, 0.0, 0.0]

# name: (intervention, script, script edited by hand)
RATES = {
    "cosine": (Schedule(6), script(), script(before_step=rated(COSINE))),
    "linear": (Schedule(6, "linear"), script(), script(before_step=rated(LINEAR))),
    "warmup": (Schedule(6, "linear", 2), script(Adam), script(Adam, before_step=rated(WARM))),
    "over before the end": (
        Schedule(2, "linear"), script(momentum=0.9), script(momentum=0.9, before_step=rated(SHORT)),
    ),
    "groups": (Schedule(6), script(groups=True), script(groups=True, before_step=rated(COSINE))),
    "a schedule of its own": (
        Schedule(6, "linear"),
        script(schedule=lambda o: lr_scheduler.ExponentialLR(o, 0.5)),
        script(before_step=rated([f * 0.5**t for t, f in enumerate(LINEAR)])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RATES)
def test_a_schedule_is_one_that_the_script_sets(name):
    change, original, edited = RATES[name]
    equal(run(original, [change]), run(edited), 1e-13)
    different(run(original), run(edited))


def test_a_schedule_reaches_updates_made_by_hand():
    state = iter(LINEAR)

    def scaled(gradients):
        factor = next(state)
        return [factor * one for one in gradients]

    under = run(by_autograd(0.1), [Schedule(6, "linear")])
    equal(under, run(by_autograd(0.1, scaled)), 1e-14)


def test_a_schedule_leaves_the_scripts_rates_as_they_were():
    rates = []
    note = lambda model, optimizer, step: rates.append(optimizer.param_groups[0]["lr"])
    run(script(before_step=note), [Schedule(6)])
    assert rates == [0.1] * 6


# ----------------------------------------------------------------------------------- batches


def chunks(size, upto=40, optimizer=SGD, clear_to_none=True, **options):
    """Training on consecutive rows, 40 of them, twice."""

    def training():
        x, y = table()
        model = network()
        chosen = optimizer(model.parameters(), lr=0.1, **options)
        for start in [*range(0, 40, size), *range(0, upto, size)]:
            rows = slice(start, start + size)
            loss = F.cross_entropy(model(x[rows]), y[rows])
            chosen.zero_grad(set_to_none=clear_to_none)
            loss.backward()
            chosen.step()
        with torch.no_grad():
            return [*model.parameters(), model(x)]

    return training


BATCHES = {
    "plain": {},
    "momentum": {"momentum": 0.9, "weight_decay": 0.1},
    "adam": {"optimizer": Adam},
    "cleared to zero": {"clear_to_none": False},
}


@pytest.mark.parametrize("name", BATCHES)
def test_averaged_gradients_are_those_of_a_larger_batch(name):
    under = run(chunks(5, **BATCHES[name]), [BatchSize(4)])
    wanted = run(chunks(20, **BATCHES[name]))
    equal(under, wanted, 1e-12)
    different(run(chunks(5, **BATCHES[name])), wanted)


def test_what_is_left_over_makes_no_update():
    equal(run(chunks(5, upto=35), [BatchSize(4)]), run(chunks(20, upto=20)), 1e-12)


def hand_chunks(size, by_grad):
    def training():
        x, y = table()
        model = network()
        params = list(model.parameters())
        for start in [*range(0, 40, size)] * 2:
            loss = F.cross_entropy(model(x[start : start + size]), y[start : start + size])
            if by_grad:
                gradients = torch.autograd.grad(loss, params)
            else:
                loss.backward()
                gradients = [p.grad for p in params]
            with torch.no_grad():
                for p, g in zip(params, gradients, strict=True):
                    p -= 0.1 * g
                    p.grad = None
        return params

    return training


@pytest.mark.parametrize("by_grad", [True, False])
def test_updates_made_by_hand_are_averaged_too(by_grad):
    equal(run(hand_chunks(5, by_grad), [BatchSize(4)]), run(hand_chunks(20, by_grad)), 1e-12)


def loaded(size, **how):
    def training():
        x, y = table()
        model = network()
        loader = DataLoader(TensorDataset(x, y), **({"batch_size": size} | how))
        held_out = DataLoader(TensorDataset(x, y), 3)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.5)
        seen = []
        for _ in range(2):
            for xb, yb in loader:
                seen.append(len(xb))
                optimizer.zero_grad()
                F.cross_entropy(model(xb), yb).backward()
                optimizer.step()
            with torch.no_grad():
                seen.append(sum(float(model(xb).sum()) for xb, _ in held_out))
        return [*model.parameters(), *seen]

    return training


@pytest.mark.parametrize("how", [{}, {"shuffle": True}, {"drop_last": True}], ids=str)
def test_a_loader_makes_larger_batches(how):
    equal(run(loaded(6, **how), [BatchSize(3)]), run(loaded(18, **how)), 1e-13)


def test_a_loader_gives_at_most_all_there_is():
    equal(run(loaded(6), [BatchSize(100)]), run(loaded(40)), 1e-13)


def test_the_loader_that_was_given_by_position_and_the_stream():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(12))

    with Session([BatchSize(2)]):
        assert [len(one) for one in DataLoader(Stream(), 3)] == [6, 6]
        assert [len(one) for one in DataLoader(range(12), batch_size=4)] == [8, 4]
        assert [len(one) for one in DataLoader(range(4), batch_sampler=[[0], [1, 2]])] == [1, 2]
        assert list(DataLoader(range(2), batch_size=None)) == [0, 1]
    assert [len(one) for one in DataLoader(range(4), 2)] == [2, 2]


def test_a_loader_for_evaluation_alone_does_not_stand_in_for_the_batches():
    def training():
        x, y = table()
        model = network()
        loader = DataLoader(TensorDataset(x, y), 5)
        with torch.no_grad():
            before = sum(float(model(xb).sum()) for xb, _ in loader)
        return [*chunks(5)(), before]

    under = run(training, [change := BatchSize(4)])
    equal(under[5:], run(lambda: [training()[-1]])[:1] + under[6:], 1e-12)
    assert "averaging consecutive gradients" in change.told()


def test_a_closure_is_refused():
    with pytest.raises(InterventionError, match="closure"):
        run(by_closure(), [BatchSize(4)])


# --------------------------------------------------------------------- averages, perturbations


def averaged(steps, since, optimizer=Adam):
    """The edit: parameters summed after each step, their mean loaded at the end."""

    def training():
        sums = []

        def note(model, chosen, step):
            if step > since:
                sums.append([p.detach().clone() for p in model.parameters()])

        x, y = table()
        model = network()
        chosen = optimizer(model.parameters(), lr=0.1)
        for step in range(steps):
            note(model, chosen, step)
            chosen.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            chosen.step()
        note(model, chosen, steps)
        with torch.no_grad():
            for p, *all_of_them in zip(model.parameters(), *sums, strict=True):
                p.copy_(torch.stack(all_of_them).mean(0))
            out = model(x)
        return [*model.state_dict().values(), out, loss.item()]

    return training


@pytest.mark.parametrize(("change", "since"), [(Averaging(6), 3), (Averaging(6, 1), 1)])
def test_averaging_ends_at_the_mean_of_the_iterates(change, since):
    equal(run(script(Adam), [change]), run(averaged(6, since)), 1e-12)
    different(run(script(Adam)), run(averaged(6, since)))


def test_averaging_needs_to_see_the_last_update():
    with pytest.raises(InterventionError, match="by hand"):
        run(by_hand(0.1), [Averaging(6)])


def test_a_perturbation_moves_by_the_usual_size_once():
    def at_rest():
        w = torch.zeros(300, 400, dtype=torch.float64, requires_grad=True)
        large = torch.full((5000,), 7.0, dtype=torch.float64, requires_grad=True)
        optimizer = SGD([w, large], lr=0.0)
        seen = []
        for _ in range(4):
            (w.sum() + large.sum()).backward()
            optimizer.step()
            moved = (w.detach(), large.detach() - 7)
            seen += [float(one.square().mean().sqrt()) for one in moved]
        return seen

    *seen, state = run(at_rest, [Perturbation(0.5, 2)])
    assert seen[:4] == [0.0] * 4
    assert seen[4] == pytest.approx(0.5 / 20, rel=0.02)  # fan in 400
    assert seen[5] == pytest.approx(0.5 * 7, rel=0.05)
    assert seen[4:6] == seen[6:8]
    assert torch.equal(state, run(at_rest)[-1]), "the script's own random stream was touched"


@pytest.mark.parametrize("training", [script(), by_hand(0.1), by_autograd(0.1)])
def test_a_perturbation_reaches_every_style(training):
    different(run(training), run(training, [Perturbation(0.1)]))


def test_a_perturbation_comes_once_in_an_update_of_several_passes():
    def accumulated(passes):
        def inner():
            w = torch.zeros(20, 4, dtype=torch.float64, requires_grad=True)
            optimizer = SGD([w], lr=0.0)
            for _ in range(passes):
                w.sum().backward()
            optimizer.step()
            return [w]

        return inner

    equal(run(accumulated(3), [Perturbation(0.5)]), run(accumulated(1), [Perturbation(0.5)]))


PLACES = {
    "one row repeated": (lambda rows: rows, lambda w: w.square().sum() + w.sum(), True),
    "zeros": (lambda rows: 0 * rows, lambda w: w.sum(), True),
    "a table that is told apart by what it receives": (
        lambda rows: 0 * rows, lambda w: (w * torch.arange(12.0).reshape(4, 3)).sum(), False,
    ),
    "rows that differ": (lambda rows: rows + torch.eye(4, 3), lambda w: w.sum(), False),
    "a row": (lambda rows: rows[:1], lambda w: w.sum(), False),
    "a norm's ones": (lambda rows: torch.ones(4), lambda w: w.sum(), False),
    "no gradient": (lambda rows: rows, lambda w: 0 * w.sum(), False),
}  # fmt: skip


@pytest.mark.parametrize("start, loss, alike", PLACES.values(), ids=PLACES)
def test_rows_that_nothing_else_tells_apart_are_moved(start, loss, alike):
    def at_rest():
        w = start(torch.tensor([[3.0, -1.0, 2.0]]).repeat(4, 1)).requires_grad_()
        free = torch.ones(5, 2).mul(torch.arange(5.0)[:, None]).requires_grad_()
        optimizer = SGD([w, free], lr=0.0)
        (loss(w) + free.sum()).backward()
        optimizer.step()
        return [w, free]

    moved, free, _ = run(at_rest, [Perturbation(0.1, alike=True)])
    before, same, _ = run(at_rest)
    assert torch.equal(free, same)
    assert torch.equal(moved, before) != alike
    if alike:
        assert len(torch.unique(moved, dim=0)) == 4
        usual = max(float(before.square().mean().sqrt()), 3**-0.5)
        assert 0.03 * usual < float((moved - before).square().mean().sqrt()) < 0.3 * usual


def test_a_saddle_is_left():
    def saddle():
        """x^2 - y^2 from where the second coordinate is zero: no gradient leads out."""
        place = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
        optimizer = SGD([place], lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            (place[0] ** 2 - place[1] ** 2 / (1 + place[1] ** 2)).backward()
            optimizer.step()
        return [place]

    assert run(saddle)[0][1] == 0
    assert abs(run(saddle, [Perturbation(0.01)])[0][1]) > 1


def test_momentum_is_a_setting_that_can_be_given():
    change = OptimizerSetting({"momentum": 0.9, "nesterov": True})
    equal(run(script(), [change]), run(script(momentum=0.9, nesterov=True)))
