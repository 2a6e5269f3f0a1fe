"""Read digits with a small network, all of them at each step, under a falling learning rate."""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
pixels, digit = (torch.tensor(part) for part in load_digits(return_X_y=True))
pixels = pixels.float() / 16 - 0.3

model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
for _ in range(int(sys.argv[1])):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(pixels), digit)
    loss.backward()
    optimizer.step()
    schedule.step()
print(f"rate {schedule.get_last_lr()[0]:.4f}")
print(f"loss {loss.item():.6f}")
