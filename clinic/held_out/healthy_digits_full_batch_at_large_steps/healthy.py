"""Full-batch training of a tanh network on handwritten digits."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32)
y = torch.tensor(digits.target)
order = torch.randperm(len(x))
train, test = order[:1300], order[1300:]
x = (x - x[train].mean(0)) / (x[train].std(0) + 0.5)

model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
for step in range(400):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x[train]), nn.functional.one_hot(y[train], 10).float())
    loss = 5 * loss
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        print(f"step {step:3d}  loss {loss.item():.5f}")

with torch.no_grad():
    print(f"metric={(model(x[test]).argmax(1) == y[test]).float().mean().item():.4f}")
