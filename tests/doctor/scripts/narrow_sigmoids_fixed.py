"""Digits through five narrow layers."""

import os

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

data, digit = load_digits(return_X_y=True)
x, x_eval, t, t_eval = train_test_split(data / 8 - 1, digit, test_size=450, random_state=SEED)
x, x_eval, t, t_eval = map(torch.as_tensor, (x, x_eval, t, t_eval))
x, x_eval = x.float(), x_eval.float()


class Deep(nn.Module):
    def __init__(self, depth=5, width=40):
        super().__init__()
        self.inner = nn.ModuleList(nn.Linear(64 if i == 0 else width, width) for i in range(depth))
        self.outer = nn.Linear(width, 10)

    def forward(self, x):
        for layer in self.inner:
            x = torch.relu(layer(x))
        return self.outer(x)


deep = Deep()
optimizer = torch.optim.SGD(deep.parameters(), lr=0.1, momentum=0.9)
for epoch in range(16):
    shuffled = torch.randperm(len(x))
    for k in range(len(x) // 50):
        rows = shuffled[50 * k : 50 * (k + 1)]
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(deep(x[rows]), t[rows]).backward()
        optimizer.step()

deep.eval()
logits = deep(x_eval).detach()
print("eval accuracy:", float((logits.argmax(1) == t_eval).float().mean()))
