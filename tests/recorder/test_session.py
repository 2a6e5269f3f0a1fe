"""A session: what its listeners hear, and that nothing of it is left behind."""

import pytest
import torch
from observing import run
from torch.overrides import _len_torch_function_stack
from torch.utils import checkpoint
from training_programs import PROGRAMS, table

from thalweg.recorder import Listener, Session


class Hearing(Listener):
    """Writes down what it hears."""

    def __init__(self):
        self.heard = []

    def optimizer_made(self, optimizer):
        self.heard.append("made")

    def called(self, call, result):
        self.heard.append(call.name)

    def before_backward(self, loss):
        self.heard.append("<")

    def after_backward(self, loss):
        self.heard.append(">")

    def before_step(self, optimizer):
        self.heard.append("(" if optimizer else "[")

    def after_step(self, optimizer):
        self.heard.append(")" if optimizer else "]")

    def finished(self):
        self.heard.append("finished")


class Changing(Listener):
    """Might change calls."""

    def rewrite(self, call):
        pass


EVENTS = {
    "raw_loop": "<>()" * 6,
    "accumulation": "<><><>()" * 4,
    "gradients_by_hand": "<>[]" * 6,
    "functional": "<>[]" * 6,
    "gradients_assigned": "<>()" * 5,
    "adversaries": "<>()<>()" * 4,
    "zero_grad_late": "<>()" * 5,
}


@pytest.mark.parametrize("name", EVENTS)
def test_events_come_in_order(name):
    hearing = Hearing()
    run(PROGRAMS[name], [hearing])
    assert "".join(one for one in hearing.heard if one in "<>()[]") == EVENTS[name]
    assert hearing.heard[-1] == "finished"


def test_an_optimizers_arithmetic_is_not_heard_and_its_closure_is():
    hearing = Hearing()
    run(PROGRAMS["closure"], [hearing])
    short = {"cross_entropy": "."} | dict(zip("<>()", "<>()", strict=True))
    heard = "".join(short.get(one, "") for one in hearing.heard)
    assert set(heard.replace(".<>", "")) == {"(", ")"}
    start, end = hearing.heard.index("("), hearing.heard.index(")")
    assert not {"dot", "mul", "add_", "neg", "zero_"} & set(hearing.heard[start:end])
    hearing = Hearing()
    run(PROGRAMS["raw_loop"], [hearing])
    assert all(b == ")" for a, b in zip(hearing.heard, hearing.heard[1:], strict=False) if a == "(")


PATCHED = {
    "construction of optimizers": lambda: torch.optim.Optimizer.__init__,
    "gradient scaling": lambda: torch.amp.GradScaler.scale,
    "checkpoints": lambda: checkpoint.checkpoint,
    "the question of fast paths": lambda: torch.overrides.has_torch_function,
    "modes": _len_torch_function_stack,
}


@pytest.mark.parametrize("what", PATCHED)
@pytest.mark.parametrize("listener", [Listener, Changing])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(what, listener, fails):
    def program(say):
        if fails:
            raise ZeroDivisionError
        return PROGRAMS["raw_loop"](say)

    before = PATCHED[what]()
    try:
        run(program, [listener()])
    except ZeroDivisionError:
        assert fails
    assert PATCHED[what]() == before


def test_a_listener_that_fails_at_the_end_leaves_the_others_their_end():
    class Failing(Listener):
        def finished(self):
            raise OSError("disk full")

    hearing, before = Hearing(), torch.optim.Optimizer.__init__
    with pytest.raises(OSError, match="disk full"), Session([Failing(), hearing]):
        pass
    assert hearing.heard == ["finished"]
    assert torch.optim.Optimizer.__init__ is before
    assert _len_torch_function_stack() == 0


def test_steps_are_counted_for_each_optimizer():
    with Session([Listener()]) as session:
        x, _ = table()
        w = torch.zeros(5, requires_grad=True)
        one, two = torch.optim.SGD([w], lr=0.1), torch.optim.SGD([w], lr=0.1)
        for optimizer in (one, one, two):
            (x @ w - 1).square().mean().backward()
            optimizer.step()
    assert session.optimizers == [one, two]
    assert (session.step_of(one), session.step_of(two), session.step) == (2, 1, 2)
