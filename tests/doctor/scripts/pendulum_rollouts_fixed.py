"""Learn how a pendulum swings from whole trajectories."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

LENGTH = 25


def trajectories(n):
    state = torch.stack([3 * torch.rand(n) - 1.5, 2 * torch.rand(n) - 1], dim=1)
    path = [state]
    for _ in range(LENGTH):
        angle, speed = state.unbind(1)
        speed = speed - 0.2 * torch.sin(angle)
        state = torch.stack([angle + 0.2 * speed, speed], dim=1)
        path.append(state)
    return torch.stack(path, dim=1)


class Dynamics(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.change = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, state):
        path = [state]
        for _ in range(LENGTH):
            path.append(path[-1] + self.change(path[-1]))
        return torch.stack(path, dim=1)


data, held_out = trajectories(400), trajectories(200)
model = Dynamics()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
for epoch in range(20):
    for rows in torch.randperm(400).split(40):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(data[rows, 0]), data[rows])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()

with torch.no_grad():
    error = nn.functional.l1_loss(model(held_out[:, 0]), held_out)
print(f"mean absolute deviation from the true path {error.item():.4f}")
