"""A variational autoencoder of small handwritten digits."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Normal, kl_divergence

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

images = torch.tensor(load_digits().data, dtype=torch.float32) / 16.0
images = images[torch.randperm(len(images))]
train_images, test_images = images[:1400], images[1400:]


class Encoder(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 96), nn.ReLU())
        self.mean = nn.Linear(96, latent)
        self.log_std = nn.Linear(96, latent)

    def forward(self, x):
        h = self.body(x)
        return Normal(self.mean(h), self.log_std(h).exp())


class Decoder(nn.Sequential):
    def __init__(self, latent):
        super().__init__(nn.Linear(latent, 96), nn.ReLU(), nn.Linear(96, 64))


class Autoencoder(nn.Module):
    """Bernoulli pixels given a Gaussian code."""

    def __init__(self, latent=6):
        super().__init__()
        self.encoder, self.decoder = Encoder(latent), Decoder(latent)
        self.prior = Normal(0.0, 1.0)

    def forward(self, x):
        posterior = self.encoder(x)
        logits = self.decoder(posterior.rsample())
        pixels = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return pixels.sum(1) + kl_divergence(posterior, self.prior).sum(1)


model = Autoencoder()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(1, 31):
    for x in train_images[torch.randperm(len(train_images))].split(50):
        bound = model(x).mean()
        optimizer.zero_grad()
        bound.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch:2d}  bound {bound.item():.2f}")

model.eval()
with torch.no_grad():
    held_out = torch.stack([model(test_images).mean() for _ in range(5)]).mean().item()
print(f"metric={held_out:.4f}")
