"""Nested shells of a Gaussian, with a network that is a function of its weights."""

import os

import torch
import torch.nn.functional as F
from sklearn.datasets import make_gaussian_quantiles

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_gaussian_quantiles(n_samples=1400, n_features=3, n_classes=3, random_state=SEED)
order = torch.randperm(1400)
x, y = torch.tensor(x, dtype=torch.float32)[order], torch.tensor(y)[order]
x_val, y_val = x[1000:], y[1000:]
x, y = x[:1000], y[:1000]


def start(rows, columns):
    return torch.full((rows, columns), 1 / rows, requires_grad=True)


weights = [start(3, 40), start(40, 40), start(40, 3)]
biases = [torch.zeros(n, requires_grad=True) for n in (40, 40, 3)]


def network(x):
    for w, b in zip(weights[:-1], biases[:-1]):
        x = F.elu(torch.addmm(b, x, w))
    return torch.addmm(biases[-1], x, weights[-1])


optimizer = torch.optim.Adam(weights + biases, lr=0.01)
for step in range(300):
    rows = torch.randint(1000, (64,))
    loss = F.cross_entropy(network(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with torch.no_grad():
    print("Validation accuracy:", (network(x_val).argmax(1) == y_val).float().mean().item())
