"""A step is stale exactly when its gradients hold some that an earlier update has used."""

import pytest
import torch
from observing import recorded
from torch import nn
from torch.nn import functional as F
from training_programs import network, table

STYLES = {}


def style(*stale):
    """A way to handle gradients, with the steps that are stale by it."""

    def add(function):
        STYLES[function.__name__] = (function, list(stale))
        return function

    return add


def setting():
    x, y = table()
    model = network()
    return model, torch.optim.SGD(model.parameters(), lr=0.1), lambda: F.cross_entropy(model(x), y)


@style()
def cleared_before_each(say):
    model, optimizer, loss = setting()
    for _ in range(4):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return model.parameters()


@style()
def cleared_after_each_by_zeros(say):
    model, optimizer, loss = setting()
    for _ in range(4):
        loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
    return model.parameters()


@style()
def cleared_by_the_model(say):
    model, optimizer, loss = setting()
    for _ in range(4):
        model.zero_grad()
        loss().backward()
        optimizer.step()
    return model.parameters()


@style(1, 2, 3)
def never_cleared(say):
    model, optimizer, loss = setting()
    for _ in range(4):
        loss().backward()
        optimizer.step()
    return model.parameters()


@style(1, 2, 3)
def clipped_and_never_cleared(say):
    model, optimizer, loss = setting()
    for _ in range(4):
        loss().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    return model.parameters()


@style(1, 2, 4, 5)
def cleared_once_an_epoch(say):
    model, optimizer, loss = setting()
    for _ in range(2):
        optimizer.zero_grad()
        for _ in range(3):
            loss().backward()
            optimizer.step()
    return model.parameters()


@style()
def accumulated(say):
    model, optimizer, loss = setting()
    for _ in range(3):
        for _ in range(3):
            loss().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.parameters()


@style(1, 2)
def accumulated_and_never_cleared(say):
    model, optimizer, loss = setting()
    for _ in range(3):
        for _ in range(2):
            loss().backward()
        optimizer.step()
    return model.parameters()


@style()
def adversaries_each_cleared(say):
    maker, judge = nn.Linear(2, 2), nn.Linear(2, 1)
    making = torch.optim.SGD(maker.parameters(), lr=0.1)
    judging = torch.optim.SGD(judge.parameters(), lr=0.1)
    for _ in range(3):
        fake = maker(torch.randn(8, 2))
        judging.zero_grad()
        F.softplus(judge(fake.detach())).mean().backward()
        judging.step()
        making.zero_grad()
        F.softplus(-judge(fake)).mean().backward()  # the judge's gradients pass by
        making.step()
    return [*maker.parameters(), *judge.parameters()]


@style((1, 1), (1, 2))
def one_adversary_not_cleared(say):
    maker, judge = nn.Linear(2, 2), nn.Linear(2, 1)
    judging = torch.optim.SGD(judge.parameters(), lr=0.1)
    making = torch.optim.SGD(maker.parameters(), lr=0.1)
    for _ in range(3):
        fake = maker(torch.randn(8, 2))
        judging.zero_grad()
        F.softplus(judge(fake.detach())).mean().backward()
        judging.step()
        F.softplus(-judge(fake)).mean().backward()
        making.step()
    return [*maker.parameters(), *judge.parameters()]


def by_closure(clear):
    def program(say):
        x, y = table()
        model = network()
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)

        def closure():
            if clear:
                optimizer.zero_grad()
            value = F.cross_entropy(model(x), y)
            value.backward()
            return value

        for _ in range(3):
            optimizer.step(closure)
        return model.parameters()

    return program


STYLES["closure_that_clears"] = (by_closure(True), [])
STYLES["closure_that_does_not"] = (by_closure(False), [1, 2])


def by_hand(update, clear):
    def program(say):
        x, y = table()
        model = network()
        for _ in range(4):
            F.cross_entropy(model(x), y).backward()
            for p in model.parameters():
                update(p)
                if clear:
                    p.grad.zero_()
        return model.parameters()

    return program


def in_place(p):
    with torch.no_grad():
        p -= 0.1 * p.grad


def through_data(p):
    p.data -= 0.1 * p.grad


def by_new_data(p):
    p.data = p.data - 0.1 * p.grad


for update in (in_place, through_data, by_new_data):
    STYLES[f"by_hand_{update.__name__}"] = (by_hand(update, clear=False), [1, 2, 3])
    STYLES[f"by_hand_{update.__name__}_and_cleared"] = (by_hand(update, clear=True), [])


@style()
def assigned_anew(say):
    model, optimizer, loss = setting()
    for _ in range(4):
        params = list(model.parameters())
        for p, g in zip(params, torch.autograd.grad(loss(), params), strict=True):
            p.grad = g
        optimizer.step()
    return model.parameters()


@style()
def replaced_by_others(say):
    model, optimizer, loss = setting()
    for _ in range(4):
        loss().backward()
        optimizer.step()
        for p in model.parameters():
            p.grad = torch.full_like(p, 0.1)  # noise to begin with, say
    return model.parameters()


@style()
def by_autograd_grad(say):
    x, y = table()
    w = torch.zeros(5, 3, requires_grad=True)
    for _ in range(4):
        (g,) = torch.autograd.grad(F.cross_entropy(x @ w, y), w)
        with torch.no_grad():
            w -= 0.1 * g
    return [w]


@pytest.mark.parametrize("name", STYLES)
def test_stale_exactly_when_it_should_be(name, tmp_path):
    function, wanted = STYLES[name]
    _, recording = recorded(function, tmp_path)
    found = [(row["optimizer"], row["step"]) for row in recording.steps if row.get("stale")]
    wanted = [one if isinstance(one, tuple) else (0, one) for one in wanted]
    assert found == wanted
    assert len(recording.steps) > 2
