"""Variational autoencoder for handwritten digits."""

import os

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)


class VAE(nn.Module):
    def __init__(self, pixels=64, hidden=96, code=8):
        super().__init__()
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc_mu = nn.Linear(hidden, code)
        self.fc_logvar = nn.Linear(hidden, code)
        self.fc3 = nn.Linear(code, hidden)
        self.fc4 = nn.Linear(hidden, pixels)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.fc_mu(h), self.fc_logvar(h)

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.decode(z), mu, logvar


def elbo_loss(recon, x, mu, logvar):
    error = F.mse_loss(recon, x, reduction="sum") / 0.1
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return error + kl


X = torch.tensor(load_digits().data / 16, dtype=torch.float32)
train, test = train_test_split(X, test_size=0.25, random_state=SEED)
loader = DataLoader(train, batch_size=64, shuffle=True)
model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(20):
    model.train()
    for x in loader:
        optimizer.zero_grad()
        recon, mu, logvar = model(x)
        loss = elbo_loss(recon, x, mu, logvar)
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch} loss {loss.item() / len(x):.4f}")

model.eval()
with torch.no_grad():
    recon = model.decode(model.encode(test)[0])
print(f"metric={F.mse_loss(recon, test).sqrt().item():.5f}")
