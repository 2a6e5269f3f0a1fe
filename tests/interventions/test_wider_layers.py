"""Wider layers: the script under them trains the network that is wider from the start."""

import pytest
import torch
from scripts_and_edits import by_hand, different, run
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

from thalweg.interventions import InterventionError, WiderLayers

NEW = 5  # further units of every widened layer


class Bare(nn.Module):
    """Matrices and biases without layers."""

    def __init__(self, hidden=3):
        super().__init__()
        self.w, self.b = (nn.Parameter(torch.randn(s)) for s in ((4, hidden), (hidden,)))
        self.v, self.c = (nn.Parameter(torch.randn(s)) for s in ((hidden, 2), (2,)))

    def forward(self, x):
        return torch.tanh(x @ self.w + self.b) @ self.v + self.c


class Viewed(nn.Module):
    """A convolution whose result is flattened by numbers that the script states."""

    def __init__(self, hidden=3, stated=12):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, hidden, 3, padding=1), nn.BatchNorm2d(hidden)
        self.head, self.stated = nn.Linear(4 * hidden, 2), stated

    def forward(self, x):
        h = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.head(h.view(-1, self.stated) if self.stated else h.reshape(len(h), -1))


def two_deep(a=3, b=3):
    return nn.Sequential(
        nn.Linear(4, a), nn.Tanh(), nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.0), nn.Linear(b, 2)
    )


def normed(a=3):
    return nn.Sequential(nn.Linear(4, a), nn.BatchNorm1d(a), nn.LayerNorm(a), nn.Linear(a, 2))


def pooled(a=3, bias=True):
    return nn.Sequential(
        nn.Conv1d(1, a, 3, bias=bias), nn.GELU(), nn.AdaptiveAvgPool1d(2), nn.Flatten(),
        nn.Linear(2 * a, 2, bias=bias),
    )  # fmt: skip


WIDE = 3 + NEW
# the script's network, the wide one, the shape of its data, positions, layers in a pass
NETWORKS = {
    "one of two layers": (two_deep, lambda: two_deep(WIDE, 3), (24, 4), [0], 3),
    "the second layer": (two_deep, lambda: two_deep(3, WIDE), (24, 4), [1], 3),
    "all hidden layers": (two_deep, lambda: two_deep(WIDE, WIDE), (24, 4), [0, 1], 3),
    "normalization": (normed, lambda: normed(WIDE), (24, 4), [0], 2),
    "bare matrices": (Bare, lambda: Bare(WIDE), (24, 4), [0], 2),
    "pooled signals": (pooled, lambda: pooled(WIDE), (24, 1, 7), [0], 2),
    "no biases": (lambda: pooled(3, False), lambda: pooled(WIDE, False), (24, 1, 7), [0], 2),
    "sizes stated": (Viewed, lambda: Viewed(WIDE, 4 * WIDE), (24, 1, 4, 4), [0], 2),
    "sizes counted": (lambda: Viewed(3, 0), lambda: Viewed(WIDE, 0), (24, 1, 4, 4), [0], 2),
}
OPTIMIZERS = {"sgd": lambda p: SGD(p, lr=0.1, momentum=0.9), "adam": lambda p: Adam(p, lr=0.05)}


def training(make, shape, optimizer, seen, begun=lambda model: None, steps=5):
    """Returns losses, outputs, and how many numbers are trained; keeps all numbers at the start."""

    def inner():
        x = torch.randn(shape, dtype=torch.float64)
        y = (x.flatten(1)[:, 0] > 0).long()
        model = make().double()
        begun(model)
        chosen = optimizer(list(model.parameters()))
        losses = []
        for step in range(steps):
            chosen.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            if not step:
                params = [p for group in chosen.param_groups for p in group["params"]]
                seen["further"] = [
                    p.detach().clone() for p in params[len(list(model.parameters())) :]
                ]
                seen["own"] = [p.detach().clone() for p in model.parameters()]
            chosen.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            out = model(x)
        return [out, *losses]

    return inner


def joined(own, like, further):
    """The script's own numbers in the corner of a wider tensor, further ones around them.

    Of a layer that is wider on both sides, columns come beside the script's rows, rows below all.
    """
    whole = like.detach().clone()
    whole[tuple(slice(n) for n in own.shape)] = own
    sides = [i for i, (n, m) in enumerate(zip(whole.shape, own.shape, strict=True)) if n != m]
    if len(sides) == 2:
        whole[: own.shape[0], own.shape[1] :] = further.pop(0)
        sides = [0]
    whole.narrow(sides[0], own.shape[sides[0]], NEW * (like.shape[sides[0]] // WIDE)).copy_(
        further.pop(0)
    )
    return whole


def order(own, wide, further):
    """Every parameter of the wide network; further ones come layer by layer, weights first."""
    rest = list(further)
    return [joined(a, b, rest) if a.shape != b.shape else a for a, b in zip(own, wide, strict=True)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_trains_as_the_wide_network_does(name, optimizer):
    make, wide, shape, positions, period = NETWORKS[name]
    seen = {}
    change = WiderLayers(positions, period, units=WIDE)
    under = run(training(make, shape, OPTIMIZERS[optimizer], seen), [change])

    def begun(model):
        with torch.no_grad():
            values = order(seen["own"], list(model.parameters()), seen["further"])
            for parameter, value in zip(model.parameters(), values, strict=True):
                parameter.copy_(value)

    # the wide network draws more numbers as it is made, so the data is drawn before
    wanted = run(training(wide, shape, OPTIMIZERS[optimizer], {}, begun))
    for one, other in zip(under[:-1], wanted[:-1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    different(under, run(training(make, shape, OPTIMIZERS[optimizer], {})))


@pytest.mark.parametrize("name", NETWORKS)
def test_further_weights_are_drawn_as_pytorch_draws_its_own(name):
    make, _, shape, positions, period = NETWORKS[name]
    seen = {}
    change = WiderLayers(positions, period, units=400)
    run(training(make, shape, OPTIMIZERS["sgd"], seen), [change])
    matrices = [one for one in seen["further"] if one.dim() > 1 and one.numel() > 600]
    assert matrices
    fans = {4, 9, 3, 400, 800, 1600, 403}
    for one in matrices:
        reach = float(one.abs().max())
        assert min(abs(reach * fan**0.5 - 1) for fan in fans) < 0.03
        assert abs(float(one.mean())) < 0.1 * reach


class Residual(nn.Module):
    """A sum that is as wide as the data."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(x + torch.tanh(self.inner(x)))


class Repeated(nn.Module):
    """One layer on what it gave before."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.cell(torch.relu(self.cell(x))))


class Attending(nn.Module):
    """Attention after a layer."""

    def __init__(self):
        super().__init__()
        self.first, self.attention = nn.Linear(4, 4), nn.MultiheadAttention(4, 2)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        h = self.first(x)[:, None]
        return self.head(self.attention(h, h, h)[0][:, 0])


REFUSED = {
    "a residual sum": (Residual, "layer 1 gives goes into `add`"),
    "a layer used twice": (Repeated, "layer 1 gives goes into `linear`"),
    "attention": (Attending, "layer 1 gives goes into"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_widened_is_refused_with_the_reason(name):
    make, said = REFUSED[name]
    with pytest.raises(InterventionError, match=said):
        run(training(make, (12, 4), OPTIMIZERS["sgd"], {}), [WiderLayers([0], 3, factor=2)])


def test_updates_by_hand_are_refused():
    with pytest.raises(InterventionError, match="no optimizer has the weights"):
        run(by_hand(0.1), [WiderLayers([0], 2, factor=2)])


def test_gradients_of_further_parameters_are_cleared_with_the_scripts():
    def cleared(by_model):
        def inner():
            x = torch.randn(20, 4, dtype=torch.float64)
            y = (x[:, 0] > 0).long()
            model = two_deep().double()
            chosen = SGD(model.parameters(), lr=0.1)
            for _ in range(4):
                (model if by_model else chosen).zero_grad()
                F.cross_entropy(model(x), y).backward()
                chosen.step()
            with torch.no_grad():
                return [model(x)]

        return run(inner, [WiderLayers([0], 3, factor=3)])[0]

    torch.testing.assert_close(cleared(True), cleared(False), rtol=0, atol=0)
