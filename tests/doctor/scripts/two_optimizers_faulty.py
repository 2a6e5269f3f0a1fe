"""Encoder and classifier with an optimizer each."""

import os

import torch
from sklearn.datasets import load_digits
from sklearn.preprocessing import scale
from torch import nn, optim

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

features, kinds = load_digits(return_X_y=True)
features, kinds = torch.tensor(scale(features)).float(), torch.tensor(kinds)
features = features + 0.5 * torch.randn_like(features)
order = torch.randperm(len(kinds))
fit, check = order[:1200], order[1200:]

encoder = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh())
classifier = nn.Linear(16, 10)
encoder_optimizer = optim.SGD(encoder.parameters(), lr=0.2)
classifier_optimizer = optim.SGD(classifier.parameters(), lr=0.2)

for epoch in range(12):
    for rows in fit[torch.randperm(len(fit))].split(40):
        classifier_optimizer.zero_grad()
        classifier_optimizer.zero_grad()
        loss = nn.functional.cross_entropy(classifier(encoder(features[rows])), kinds[rows])
        loss.backward()
        encoder_optimizer.step()
        classifier_optimizer.step()

with torch.no_grad():
    loss = nn.functional.cross_entropy(classifier(encoder(features[check])), kinds[check])
    top = classifier(encoder(features[check])).argmax(1)
print(f"held-out loss {loss.item():.3f}")
print(f"held-out accuracy {(top == kinds[check]).float().mean().item():.3f}")
