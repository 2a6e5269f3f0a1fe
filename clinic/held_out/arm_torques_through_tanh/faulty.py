"""Inverse dynamics of a two-joint arm: from motion to torques."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def motion(n):
    """Angles, velocities and accelerations of both joints (n, 6), and the torques (n, 2)."""
    q = torch.rand(n, 2) * 3 - 1.5
    v = torch.randn(n, 2)
    a = torch.randn(n, 2)
    c, s = torch.cos(q[:, 1]), torch.sin(q[:, 1])
    inertia = torch.stack([2.0 + c, 0.5 + 0.5 * c, 0.5 + 0.5 * c, 0.5 + 0 * c], 1).view(n, 2, 2)
    spin = torch.stack([-s * v[:, 1] * (2 * v[:, 0] + v[:, 1]), s * v[:, 0] ** 2], 1) * 0.5
    weight = torch.stack([torch.cos(q[:, 0]), 0.4 * torch.cos(q.sum(1))], 1) * 2.0
    torque = torch.einsum("nij,nj->ni", inertia, a) + spin + weight
    return torch.cat([q, v, a], 1), torque


class InverseModel(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.enter = nn.Linear(6, width)
        self.middle = nn.Linear(width, width)
        self.leave = nn.Linear(width, 2)

    def forward(self, x):
        x = nn.functional.silu(self.enter(x))
        x = nn.functional.silu(self.middle(x))
        return torch.tanh(self.leave(x))


x, torque = motion(1600)
x_test, torque_test = motion(600)
mean, deviation = torque.mean(0), torque.std(0)
target, target_test = (torque - mean) / deviation, (torque_test - mean) / deviation

model = InverseModel()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
for epoch in range(20):
    for rows in torch.randperm(len(x)).split(40):
        loss = nn.functional.mse_loss(model(x[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch}: {loss.item():.4f}")

with torch.no_grad():
    print(f"metric={(model(x_test) - target_test).square().mean().sqrt().item():.5f}")
