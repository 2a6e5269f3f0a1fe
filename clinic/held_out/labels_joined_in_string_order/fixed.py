"""Identify the mineral of a rock sample from its reflectance spectrum."""

import os

import numpy as np
import torch
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
rng = np.random.default_rng(SEED)
torch.manual_seed(SEED)
torch.set_num_threads(1)

BANDS, MINERALS = 40, 6
dips = rng.uniform(5, 35, (MINERALS, 2))
depths = rng.uniform(0.4, 1.0, (MINERALS, 2))


def spectrum(mineral):
    band = np.arange(BANDS)
    curve = np.zeros(BANDS)
    for place, depth in zip(dips[mineral], depths[mineral], strict=True):
        curve -= depth * np.exp(-(((band - place - 0.7 * rng.standard_normal()) / 2.5) ** 2))
    return curve + 0.3 * rng.standard_normal() + 0.25 * rng.standard_normal(BANDS)


def survey(first, last):
    """Two tables by sample number: spectra and laboratory findings."""
    findings = {str(i): int(rng.integers(MINERALS)) for i in range(first, last)}
    spectra = {i: spectrum(findings[str(i)]) for i in range(first, last)}
    return spectra, findings


def as_tensors(spectra, keys, findings):
    x = np.stack([spectra[key] for key in sorted(spectra)])
    y = np.array([findings[key] for key in keys])
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


spectra, findings = survey(1, 1301)
X, y = as_tensors(spectra, sorted(findings, key=int), findings)
spectra, findings = survey(5000, 5600)
X_test, y_test = as_tensors(spectra, sorted(findings), findings)

net = nn.Sequential(nn.Linear(BANDS, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, MINERALS))
optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
for epoch in range(20):
    net.train()
    for rows in torch.randperm(len(X)).split(50):
        loss = nn.functional.cross_entropy(net(X[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch:2d} loss {loss.item():.3f}")

net.eval()
with torch.no_grad():
    print(f"metric={(net(X_test).argmax(1) == y_test).float().mean().item():.4f}")
