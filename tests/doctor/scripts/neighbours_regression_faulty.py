"""Linear regression on readings of neighbouring sensors."""

import os

import torch

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

SENSORS = 24


def readings(n):
    shared = torch.randn(n, 1)
    own = torch.randn(n, SENSORS)
    return (shared + 0.05 * own) / (1 + 0.05**2) ** 0.5


x_train, x_test = readings(600), readings(300)
spread = torch.linspace(-1, 1, SENSORS)
y_train = 8 * (x_train @ spread) + 0.1 * torch.randn(600)
y_test = 8 * (x_test @ spread) + 0.1 * torch.randn(300)

weight = torch.zeros(SENSORS, requires_grad=True)
bias = torch.zeros((), requires_grad=True)
optimizer = torch.optim.SGD([weight, bias], lr=0.03)
for step in range(500):
    residual = x_train @ weight + bias - y_train
    loss = residual.pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(step, loss.item())

rmse = (x_test @ weight + bias - y_test).pow(2).mean().sqrt()
print("held-out RMSE:", rmse.item())
