"""Interventions in the loop around the updates: the order of the examples, and how many rounds."""

import textwrap

import pytest
import torch
from scripts_and_edits import run
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thalweg.interventions import Shuffling
from thalweg.interventions.longer_training import LongerTraining, training_loops
from thalweg.recorder import Session

SIZE = 64


def update(model, optimizer, x):
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()


def passes(batches, epochs=4):
    """The examples that each pass over the data takes, in order."""
    seen = []

    def training():
        x = torch.arange(float(SIZE))[:, None]
        labels = torch.arange(SIZE)
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
        source = batches(x, labels)
        for _ in range(epochs):
            taken = []
            for rows, names in source():
                assert torch.equal(rows[:, 0], names.float())  # features and labels stay together
                taken += names.tolist()
                update(model, optimizer, rows)
            seen.append(taken)
        with torch.no_grad():
            assert torch.equal(x[:8, 0], torch.arange(8.0))  # evaluation takes its rows as they are
        return []

    run(training, [Shuffling()])
    return seen


def by_slices(x, labels):
    return lambda: ((x[i : i + 16], labels[i : i + 16]) for i in range(0, SIZE, 16))


def by_rows(x, labels):
    rows = torch.arange(SIZE).split(16)
    return lambda: ((x[one], labels[one]) for one in rows)


def loader_of(**options):
    def batches(x, labels):
        loader = DataLoader(TensorDataset(x, labels), 16, **options)
        return lambda: iter(loader)

    return batches


@pytest.mark.parametrize(
    "batches", [by_slices, by_rows, loader_of(), loader_of(shuffle=False)],
    ids=["slices", "rows", "loader", "loader without"],
)  # fmt: skip
def test_each_pass_takes_every_example_in_another_order(batches):
    _, *rest = passes(batches)  # by hand, the first pass begins before there is an update
    assert all(sorted(taken) == list(range(SIZE)) for taken in rest)
    assert all(taken != sorted(taken) for taken in rest)
    assert len({tuple(taken) for taken in rest}) == len(rest)


def test_a_loader_with_an_order_of_its_own_keeps_it():
    own = list(range(SIZE))[::-1]
    assert passes(loader_of(sampler=own)) == [own] * 4


def test_loaders_are_made_as_before_when_the_session_is_over():
    construct = DataLoader.__init__
    with Session([Shuffling()]):
        assert DataLoader.__init__ is not construct
    assert DataLoader.__init__ is construct


LOOPS = {
    "a loop over epochs and one over batches": (
        """
        for epoch in range(9):
            for i in range(3):
                loss.backward()
        for i in range(3):
            print(i)
        """,
        [2],
    ),
    "a function that trains": (
        """
        def step(x):
            return torch.autograd.grad(f(x), x)

        def epoch():
            for i in range(10):
                step(i)

        for e in range(5):
            epoch()
        """,
        [9],
    ),
    "a function that trains whole": (
        """
        def fit(epochs):
            for e in range(epochs):
                loss.backward()

        fit(3)
        """,
        [3],
    ),
    "no loop over a range": ("for x in loader: loss.backward()", []),
    "no Python": ("for (", []),
}


@pytest.mark.parametrize("name", LOOPS)
def test_the_loops_that_train_are_found(name):
    source, lines = LOOPS[name]
    assert sorted(training_loops(textwrap.dedent(source))) == lines


def test_the_outermost_loop_that_trains_goes_round_more_often(tmp_path):
    source = """
        import torch
        w = torch.ones(2, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        rounds = []
        for epoch in range(2, 8, 3):
            for i in range(4):
                optimizer.zero_grad()
                w.square().sum().backward()
                optimizer.step()
            rounds.append(epoch)
        others = [i for i in range(5)]
        is_range = isinstance(range(3), range) and type(range(3)) == range
    """
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(source))
    names = {}
    own = range
    with Session([LongerTraining(3)]) as session:
        exec(compile(path.read_text(), str(path), "exec"), names)
    assert range is own
    assert names["rounds"] == [2, 5, 8, 11, 14, 17]
    assert session.step == 6 * 4
    assert names["others"] == [0, 1, 2, 3, 4]
    assert names["is_range"]
