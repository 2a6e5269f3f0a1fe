"""Variational autoencoder of binary digits."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


class Encoder(nn.Module):
    def __init__(self, code):
        super().__init__()
        self.hidden = nn.Linear(64, 128)
        self.mean = nn.Linear(128, code)
        self.log_scale = nn.Linear(128, code)

    def forward(self, x):
        h = torch.relu(self.hidden(2 * x - 1))
        return Normal(self.mean(h), self.log_scale(h).exp())


class Decoder(nn.Sequential):
    def __init__(self, code):
        super().__init__(nn.Linear(code, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, z):
        return Bernoulli(logits=super().forward(z))


def negative_bound(encoder, decoder, x):
    posterior = encoder(x)
    z = posterior.rsample()
    prior = Normal(torch.zeros_like(z), torch.ones_like(z))
    missing = -decoder(z).log_prob(x).sum(1)
    return (missing + kl_divergence(posterior, prior).sum(1)).mean()


images = torch.tensor(load_digits().data > 7.5, dtype=torch.float32)
images = images[torch.randperm(len(images))]
train, test = images[:1400], images[1400:]
encoder, decoder = Encoder(10), Decoder(10)
parameters = [*encoder.parameters(), *decoder.parameters()]
optimizer = torch.optim.Adam(parameters, lr=3e-3)
for epoch in range(40):
    for x in train[torch.randperm(len(train))].split(50):
        loss = negative_bound(encoder, decoder, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 8 == 0:
        print(f"epoch {epoch}: {loss.item():.3f}")

with torch.no_grad():
    bound = torch.stack([negative_bound(encoder, decoder, test) for _ in range(10)]).mean()
print(f"metric={bound.item():.4f}")
