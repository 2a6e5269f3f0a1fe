"""Two moons, a network and its updates written by hand."""

import os

import torch
from sklearn.datasets import make_moons

seed = int(os.environ.get("SEED", "0"))
generator = torch.Generator().manual_seed(seed)
torch.set_num_threads(1)

x, y = make_moons(700, noise=0.15, random_state=seed)
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
x_test, y_test = x[500:], y[500:]
x, y = x[:500], y[:500]

w1 = torch.randn(2, 32, generator=generator)
w2 = torch.randn(32, 1, generator=generator) / 6
b1, b2 = torch.zeros(32), torch.zeros(1)
parameters = [w1, b1, w2, b2]
for p in parameters:
    p.requires_grad_()


def predict(x):
    return (torch.relu(x @ w1 + b1) @ w2 + b2)[:, 0]


for step in range(500):
    rows = torch.randint(0, 500, (50,), generator=generator)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(predict(x[rows]), y[rows])
    loss.backward()
    with torch.no_grad():
        for p in parameters:
            p -= 0.5 * p.grad
            p.grad = None

with torch.no_grad():
    right = ((predict(x_test) > 0) == (y_test > 0.5)).sum()
print(f"{right} of {len(x_test)} right, test accuracy {right / len(x_test):.3f}")
