"""Two-layer network without nn.Module: the chirp of a sonar."""

import os

import torch

gen = torch.Generator().manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def normal(*shape):
    return torch.randn(*shape, generator=gen)


def chirp(t):
    return torch.sin(2 * t * (1 + 0.3 * t)) * torch.exp(-0.3 * t)


t_train = 3 * torch.rand(800, 1, generator=gen)
y_train = chirp(t_train) + 0.05 * normal(800, 1)
t_test = 3 * torch.rand(400, 1, generator=gen)
y_test = chirp(t_test)

HIDDEN = 50
w1 = (2.0 * normal(1, HIDDEN)).requires_grad_()
b1 = (2.0 * normal(HIDDEN)).requires_grad_()
w2 = (normal(HIDDEN, 1) / HIDDEN**0.5).requires_grad_()
b2 = torch.zeros(1, requires_grad=True)
params = [w1, b1, w2, b2]


def predict(t):
    return torch.tanh((t - 1.5) @ w1 + b1) @ w2 + b2


rate = 0.03
for epoch in range(150):
    order = torch.randperm(len(t_train), generator=gen)
    for rows in order.split(40):
        loss = (predict(t_train[rows]) - y_train[rows]).square().mean()
        loss.backward()
        with torch.no_grad():
            for p in params:
                p -= rate * p.grad
                p.grad.zero_()
    if epoch % 40 == 0:
        print(f"{epoch:3d} {loss.item():.4f}")

with torch.no_grad():
    close = (predict(t_test) - y_test).abs() < 0.1
print(f"metric={close.float().mean().item():.4f}")
