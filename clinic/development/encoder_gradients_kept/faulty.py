"""Texture recognition with an encoder and a head that have optimizers of their own."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
axis = torch.arange(12.0)


def textures(n):
    """Gratings (n, 1, 12, 12) of six orientations, with noise and any phase."""
    kind = torch.randint(6, (n,))
    angle = kind * torch.pi / 6 + 0.1 * torch.randn(n)
    along = torch.cos(angle)[:, None, None] * axis[:, None] + torch.sin(angle)[:, None, None] * axis
    phase = 6.28 * torch.rand(n, 1, 1)
    return (torch.sin(1.6 * along + phase) + 0.6 * torch.randn(n, 12, 12))[:, None], kind


encoder = nn.Sequential(
    nn.Conv2d(1, 12, 5, stride=2), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.Flatten()
)
head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 6))
encoder_optimizer = torch.optim.SGD(encoder.parameters(), lr=0.05, momentum=0.9)
head_optimizer = torch.optim.SGD(head.parameters(), lr=0.05, momentum=0.9)

x_train, y_train = textures(1600)
x_test, y_test = textures(800)
for epoch in range(8):
    for rows in torch.randperm(len(x_train)).chunk(40):
        scores = head(encoder(x_train[rows]))
        loss = nn.functional.cross_entropy(scores, y_train[rows])
        head_optimizer.zero_grad()
        loss.backward()
        encoder_optimizer.step()
        head_optimizer.step()
    print(f"epoch {epoch} loss {loss.item():.4f}")

with torch.no_grad():
    accuracy = (head(encoder(x_test)).argmax(1) == y_test).float().mean().item()
print(f"metric={accuracy:.4f}")
