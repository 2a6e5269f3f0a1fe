"""Which layers follow each other linearly, and which activations get what another one gave."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.recorder import Recorder, Recording, Session


class Bare(nn.Module):
    """Two products with biases of their own."""

    def __init__(self):
        super().__init__()
        self.w, self.b, self.v = (nn.Parameter(torch.randn(s)) for s in ((4, 5), (5,), (5, 3)))

    def forward(self, x):
        return 2 * (x @ self.w + self.b) @ self.v


class Gated(nn.Module):
    """The product of two layers is no linear map."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.c(self.a(x) * self.b(x))


class Residual(nn.Module):
    """A sum with what stood before: linear, but of two values."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        h = torch.relu(self.a(x))
        return self.c(h + self.b(h))


class Inplace(nn.Module):
    """An activation in place."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        h = self.a(x)
        h = F.relu_(h)
        return self.b(h)


seq = nn.Sequential
# the network, what each layer follows, what each activation is given
NETWORKS = {
    "activations between": (
        lambda: seq(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)),
        [None, None, None], [None, None],
    ),
    "none between": (lambda: seq(nn.Linear(4, 5), nn.Linear(5, 3)), [None, 0], []),
    "none in a row of three": (
        lambda: seq(nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)), [None, 0, 1], [],
    ),
    "dropout and normalization": (
        lambda: seq(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3)),
        [None, 0], [],
    ),
    "a layer's norm is not linear": (
        lambda: seq(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)), [None, None], [],
    ),
    "a largest value is not linear": (
        lambda: seq(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 5, 1), nn.MaxPool1d(4), nn.Flatten(),
                    nn.Linear(5, 3)),
        [None, None], [],
    ),
    "a mean is": (
        lambda: seq(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 5, 1), nn.AvgPool1d(4), nn.Flatten(),
                    nn.Linear(5, 3)),
        [None, 0], [],
    ),
    "matrices": (Bare, [None, 0], []),
    "a gate": (Gated, [None, None, None], []),
    "a residual sum": (Residual, [None, None, None], [None]),
    "in place": (Inplace, [None, None], [None]),
    "doubled": (
        lambda: seq(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.1), nn.Sigmoid(), nn.Linear(5, 3)),
        [None, None], [None, 0],
    ),
    "a layer between": (
        lambda: seq(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3)),
        [None, None, None], [None, None],
    ),
}  # fmt: skip


def first_sample(model, folder, x=None, loss=None):
    torch.manual_seed(0)
    x = torch.randn(8, 4) if x is None else x
    with Session([Recorder(folder, folder)]):
        model = model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        optimizer.zero_grad()
        (loss or (lambda out: F.cross_entropy(out, torch.zeros(8).long())))(model(x)).backward()
        optimizer.step()
    return Recording.read(folder).samples[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_chains(name, tmp_path):
    model, layers, activations = NETWORKS[name]
    row = first_sample(model, tmp_path)
    assert [one["follows"] for one in row["layers"]] == layers
    assert [one["follows"] for one in row["activations"]] == activations


def test_a_recurrent_layer_and_an_embedding_begin_no_chain(tmp_path):
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.rnn = nn.Embedding(7, 4), nn.GRU(4, 5, batch_first=True)
            self.head = nn.Linear(5, 3)

        def forward(self, x):
            return self.head(self.rnn(self.table(x))[0][:, -1])

    row = first_sample(Reading, tmp_path, torch.randint(7, (8, 6)))
    assert [one["follows"] for one in row["layers"]] == [None, None, None]


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0, 1.0, 1.0), (0.3, 0.9, 0.99)])
def test_an_autoencoder_is_seen_by_its_targets(noise, least, most, tmp_path):
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    given = x + noise * torch.randn(200, 4, generator=torch.Generator().manual_seed(2))
    model = lambda: seq(nn.Linear(4, 2), nn.Linear(2, 4))
    row = first_sample(model, tmp_path, given, lambda out: F.mse_loss(out, x))
    assert least - 1e-6 <= row["reconstruction"] <= most + 1e-6


def test_other_targets_are_no_reconstruction(tmp_path):
    assert first_sample(NETWORKS["none between"][0], tmp_path)["reconstruction"] is None
