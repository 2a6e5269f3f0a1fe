"""A tape cut where the outputs enter the loss: both halves, and what is known of the second."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.recorder import Session, TapeError, TapeRecorder
from thalweg.recorder.cut import cut
from thalweg.recorder.replay import replayed

X = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(6, 2)
Y = torch.tensor([0, 1, 2, 0, 1, 2])


def network():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def taped(loss_of):
    """The tape of a loss of the network, and its leaves."""
    recorder, model = TapeRecorder(), network()
    with Session([recorder]):
        loss = loss_of(model)
    return recorder.take(loss)


def entropy(model, **options):
    return F.cross_entropy(model(X), Y, **options)


def size(model):
    return sum(p.square().sum() for p in model.parameters())


def times_itself(error):
    return error * error


def normalized(x):
    """As a layer's normalization, with squares of differences of its own."""
    off = x - x.mean(1, keepdim=True)
    return off / (off.square().mean(1, keepdim=True) + 1).sqrt()


# name: (the loss, how many outputs, how many loss functions, a sum of them, nothing but one)
LOSSES = {
    "alone": (entropy, 1, 1, True, True),
    "with options": (lambda m: entropy(m, reduction="sum", label_smoothing=0.1), 1, 1, True, True),
    "by module": (lambda m: nn.CrossEntropyLoss()(m(X), Y), 1, 1, True, True),
    "by name": (lambda m: F.cross_entropy(target=Y, input=m(X)), 1, 1, True, True),
    "divided": (lambda m: entropy(m) / 4, 1, 1, True, False),
    "weighted": (lambda m: 0.5 * entropy(m) * torch.tensor(2.0), 1, 1, True, False),
    "mean by hand": (lambda m: entropy(m, reduction="none").mean(), 1, 1, True, False),
    "with a penalty": (lambda m: entropy(m) + 0.1 * size(m), 2, 1, True, False),
    "two heads": (
        lambda m: entropy(m) + F.mse_loss(m(X).sum(1), X.sum(1)), 2, 2, True, False,
    ),
    "negative": (lambda m: -1.0 * entropy(m), 1, 1, False, False),
    "taken off another": (
        lambda m: torch.add(entropy(m), entropy(m, label_smoothing=0.1), alpha=-0.5),
        2, 2, False, False,
    ),
    "loss of a loss": (
        lambda m: F.mse_loss(entropy(m), torch.tensor(2.0).double()), 1, 2, False, False,
    ),
    "squared": (lambda m: entropy(m) ** 2, 1, 1, False, False),
    "in the denominator": (lambda m: torch.div(2.0, entropy(m)), 1, 1, False, False),
    "squared errors": (lambda m: ((m(X) - 1) ** 2).mean(), 1, 1, True, False),
    "errors times themselves": (lambda m: times_itself(1 - m(X)).sum() / 6, 1, 1, True, False),
    "squared errors with a penalty": (
        lambda m: 0.5 * torch.square(m(X) - X[:, :1]).sum(1).mean() + 0.1 * size(m),
        2, 1, True, False,
    ),
    "squared errors and a normalization by hand": (
        lambda m: (normalized(m(X)) - 1).pow(2).mean(), 1, 1, True, False,
    ),
    "squared errors of two heads": (
        lambda m: (m(X) - 1).square().mean() + (m(X).sum(1) - 2).pow(2).mean(), 2, 2, True, False,
    ),
    "less a squared error": (
        lambda m: entropy(m) - (m(X) - 1).square().mean(), 2, 1, False, False,
    ),
    "times a parameter": (lambda m: entropy(m) * m[0].bias.exp().sum(), 2, 1, False, False),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_the_halves_make_the_whole(name):
    loss_of, outputs, calls, sums, alone = LOSSES[name]
    tape = taped(loss_of)
    found = cut(tape)
    assert (len(found.slots), len(found.calls), found.sums, found.alone) == (
        outputs, calls, sums, alone,
    )  # fmt: skip
    elsewhere = {i: leaf.detach() + 0.1 for i, leaf in enumerate(tape.leaves)}
    assert torch.equal(found.loss(found.outputs(elsewhere)), tape.loss(elsewhere))


def test_the_outputs_are_the_networks_and_the_function_has_its_options():
    tape = taped(lambda m: entropy(m, label_smoothing=0.25))
    found = cut(tape)
    (output,) = found.outputs({})
    assert torch.equal(output, network()(X))
    (call,) = found.calls
    assert call.function.func is F.cross_entropy
    assert call.function.keywords["label_smoothing"] == 0.25
    assert call.targets is Y
    assert torch.equal(call.function(output, call.targets), tape.value)


def test_a_loss_by_hand_has_no_place_to_cut():
    with pytest.raises(TapeError, match="without a loss function of PyTorch"):
        cut(taped(lambda m: (m(X) - 1).pow(4).mean()))
    with pytest.raises(TapeError, match=r"such as torch\.nn\.functional\.mse_loss"):
        cut(taped(lambda m: (m(X) - 1).square().mean().sqrt()))


def test_outputs_that_are_overwritten_are_refused():
    def overwriting(model):
        out = model(X)
        mean = F.mse_loss(out, torch.zeros_like(out))
        out *= mean
        return out.sum() + mean

    with pytest.raises(TapeError, match="in place"):
        cut(taped(overwriting))


def test_the_loss_of_a_step_is_the_sum_over_its_passes():
    recorder, model = TapeRecorder(), network()
    tapes = []
    with Session([recorder]):
        for rows in (slice(0, 2), slice(2, 6)):
            tapes.append(recorder.take(F.cross_entropy(model(X[rows]), Y[rows])))
    weight = model[0].weight
    moved = torch.nn.Parameter(weight.detach() + 0.3)
    loss = replayed(tapes, {id(weight): moved})
    params = dict(model.named_parameters()) | {"0.weight": moved}
    out = torch.func.functional_call(model, params, X)
    expected = F.cross_entropy(out[:2], Y[:2]) + F.cross_entropy(out[2:], Y[2:])
    assert torch.allclose(loss, expected, rtol=1e-14, atol=0)


def test_no_pass_has_no_loss():
    with pytest.raises(TapeError, match="no backward pass was recorded"):
        replayed([], {})
