"""A training run with everything that draws and remembers, which says at the end what it found.

As a script: `checkpointed_run.py CHECKPOINT RESULT` runs, or continues, and writes the result.
"""

import random
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from thalweg.optim import Adam, ExponentialAverage
from thalweg.training import ClipNorm, fit


class Jittered(Dataset):
    """Samples with noise from all three global generators, drawn whenever one is asked for."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        noise = torch.randn(4) + float(np.random.randn()) + random.gauss(0, 1)
        return self.x[i] + 0.1 * noise, self.y[i]


def samples():
    source = torch.Generator().manual_seed(3)
    x = torch.randn(60, 4, generator=source)
    return x, (x[:, 0] > 0).long()


def source(kind):
    """Training data of a kind, with what `fit` is told about it."""
    x, y = samples()
    own = torch.Generator().manual_seed(8)
    return {
        "pair": ((x, y), {"batch_size": 7}),
        "dataset": (Jittered(x, y), {"batch_size": 7}),
        "loader": (DataLoader(Jittered(x, y), batch_size=7, shuffle=True), {}),
        "generator": (DataLoader(TensorDataset(x, y), 7, shuffle=True, generator=own), {}),
    }[kind]


def trained(checkpoint=None, kind="dataset", *, seed=0, epochs=4, every=2, **options):
    """The model's state at the end and the history."""
    for seeded in (torch.manual_seed, random.seed, np.random.seed):
        seeded(seed)
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.4), nn.Tanh(), nn.Linear(6, 2)
    )
    optimizer = Adam(model.parameters(), lr=0.02)
    data, own = source(kind)
    fitted = fit(
        model,
        F.cross_entropy,
        data,
        samples(),
        optimizer,
        epochs=epochs,
        metric=lambda outputs, targets: outputs.argmax(1) != targets,
        patience=3,
        clip=ClipNorm(0.5),
        scheduler=torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10),
        schedule="step",
        average=ExponentialAverage(optimizer, 0.9, start=3),
        accumulate=2,
        checkpoint=checkpoint,
        checkpoint_every=every,
        **own,
        **options,
    )
    return model.state_dict(), fitted


if __name__ == "__main__":
    torch.set_num_threads(1)
    Path(sys.argv[2]).with_suffix(".ready").touch()
    state, fitted = trained(sys.argv[1], every=1, epochs=30, seed=int(sys.argv[3]))
    torch.save(
        {"state": state, "losses": fitted.losses, "resumed_at": fitted.resumed_at}, sys.argv[2]
    )
