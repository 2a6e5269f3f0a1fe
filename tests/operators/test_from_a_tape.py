"""The Hessian of a program's own loss, from the tape of one of its steps."""

import torch
from networks import dense_hessian, mlp, normal, relative
from torch import nn
from torch.nn import functional as F

from thalweg.operators import Hessian
from thalweg.recorder import Session, TapeRecorder


def taped(work):
    """The tape of the loss that `work` returns."""
    recorder = TapeRecorder()
    with Session([recorder]):
        loss = work()
    return recorder.take(loss)


def test_equals_the_hessian_of_the_programs_loss():
    model, loss, batches = mlp()
    x, y = batches[0]

    def work():
        return loss(model(x), y) + 0.1 * sum((p**4).sum() for p in model.parameters())

    tape = taped(work)
    names = {id(p): name for name, p in model.named_parameters()}
    params = {names[id(leaf)]: leaf for leaf in tape.leaves}
    found = Hessian(tape.loss_of(list(params)), params)

    def reference(p):
        penalty = 0.1 * sum((w**4).sum() for w in p.values())
        return loss(torch.func.functional_call(model, p, x), y) + penalty

    assert relative(found.to_dense(), dense_hessian(reference, params)) < 1e-14


def test_repeats_the_draws_of_the_step():
    layers = nn.Linear(4, 6), nn.Dropout(0.5), nn.BatchNorm1d(6), nn.Linear(6, 2)
    model = nn.Sequential(*layers).double()
    x, y = normal(5, 4), normal(5, 2)
    tape = taped(lambda: F.mse_loss(model(x), y))
    params = {str(i): leaf for i, leaf in enumerate(tape.leaves)}
    one, other = (Hessian(tape.loss_of(list(params)), params) for _ in range(2))
    v = torch.ones(one.size, dtype=one.dtype)
    assert one.loss == other.loss == tape.value.item()
    assert torch.equal(one @ v, other @ v)


def test_some_leaves_may_vary_alone():
    a = torch.ones(2, requires_grad=True)
    b = torch.full((2,), 3.0, requires_grad=True)
    tape = taped(lambda: (a * b**2).sum())
    names = ["a" if leaf is a else "b" for leaf in tape.leaves]
    assert Hessian(tape.loss_of(names), {"b": b}).to_dense().tolist() == [[2, 0], [0, 2]]
