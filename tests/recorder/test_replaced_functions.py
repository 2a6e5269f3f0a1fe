"""Programs that put functions of their own under PyTorch's names are entered once, as ever."""

import functools
import gc

import pytest
import torch
import torch.nn.functional as F

from thalweg.recorder import Session
from thalweg.recorder.session import Listener


class Looking(Listener):
    """Sees every call."""

    def __init__(self):
        self.names = []

    def called(self, call, result):
        self.names.append(call.name)


def trained(steps=3):
    """A short training, from the same numbers every time: the losses."""
    torch.manual_seed(0)
    x, y = torch.randn(8, 3), torch.randint(2, (8,))
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(F.dropout(model(x), 0.25), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


REPLACED = {
    "a method": (torch.Tensor, "backward"),
    "a loss": (F, "cross_entropy"),
    "a layer's function": (F, "dropout"),
}
WRAPPED = {"plainly": lambda wrapper, _: wrapper, "under its name": functools.update_wrapper}


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("what", REPLACED)
def test_a_wrapper_is_entered_once_a_call(what, wrap, monkeypatch):
    owner, name = REPLACED[what]
    original, entered = getattr(owner, name), []

    def wrapper(*args, **kwargs):
        entered.append(1)
        result = original(*args, **kwargs)
        return None if result is None else 2 * result

    monkeypatch.setattr(owner, name, WRAPPED[wrap](wrapper, original))
    plain, calls = trained(), len(entered)
    looking = Looking()
    with Session([looking]):
        watched = trained()
    assert watched == plain
    assert len(entered) == 2 * calls == 6
    assert what == "a method" or looking.names.count(name) == 3


def test_functions_that_dispatch_keep_their_public_names():
    looking = Looking()
    with Session([looking]):
        F.max_pool1d(torch.ones(1, 1, 4), 2)
    assert "max_pool1d" in looking.names


def test_functions_are_known_without_the_garbage_collector(monkeypatch):
    """A process that was forked after ``gc.freeze`` finds nothing by it."""
    monkeypatch.setattr(gc, "get_referrers", lambda *_: [])
    test_a_wrapper_is_entered_once_a_call("a method", "plainly", monkeypatch)
    test_a_wrapper_is_entered_once_a_call("a loss", "plainly", monkeypatch)
