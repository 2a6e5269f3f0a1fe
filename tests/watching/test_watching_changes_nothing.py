"""A program that is watched computes the same numbers bit for bit, awake and asleep."""

from contextlib import nullcontext

import pytest
import torch
from observing import run, same
from training_programs import PROGRAMS

from thalweg.recorder import Session
from thalweg.watching import Lookout

# Everything that is due, and nothing but the first step.
BUDGETS = {"all": 1e6, "least": 1e-12}


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_numbers_stay_the_same(name, budget, tmp_path):
    lookout = Lookout(tmp_path, tmp_path, BUDGETS[budget], False, lambda _: None)
    same(run(PROGRAMS[name]), run(PROGRAMS[name], [lookout]))


class Counting(torch.overrides.TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def steps(count, weights, optimizer):
    for _ in range(count):
        optimizer.zero_grad()
        (weights**2).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("between", [0, 1], ids=["at once", "after rest"])
@pytest.mark.parametrize("around", [nullcontext, lambda: torch.device("cpu")], ids=["", "device"])
def test_modes_of_the_program_are_left_as_they_were(around, between, tmp_path):
    # Entered while the session rests, they must be the ones that are left, whatever wakes then.
    seen = []
    for watched in (False, True):
        weights = torch.ones(3, requires_grad=True)
        optimizer = torch.optim.SGD([weights], lr=0.1)
        counting, lookout = Counting(), Lookout(tmp_path, tmp_path, 1e6, False, lambda _: None)
        session = Session([lookout] if watched else [], candidates=[optimizer])
        with around(), session:
            steps(between, weights, optimizer)
            with counting:
                steps(4, weights, optimizer)
            with torch.device("meta"):
                steps(4, weights, optimizer)
                assert torch.ones(1).is_meta
            assert not torch.ones(1).is_meta
            steps(1, weights, optimizer)
        assert torch._C._len_torch_function_stack() == 0
        seen.append(counting.seen)
    assert seen[0] == seen[1]
