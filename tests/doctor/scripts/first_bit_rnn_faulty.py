"""Say at the end what stood at the beginning."""

import os

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

STEPS = 30


def batch(n):
    x = 0.5 * torch.randn(n, STEPS, 2)
    label = torch.randint(0, 2, (n,))
    x[:, 0, 0] = 2.0 * label - 1.0
    return x, label


class Recall(nn.Module):
    def __init__(self, size=32):
        super().__init__()
        self.inward = nn.Linear(2, size)
        self.within = nn.Linear(size, size, bias=False)
        self.answer = nn.Linear(size, 2)

    def forward(self, x):
        state = torch.zeros(len(x), self.within.in_features)
        for moment in x.unbind(1):
            state = torch.tanh(self.inward(moment) * 0.3 + self.within(state))
        return self.answer(state)


model = Recall()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
for step in range(140):
    x, label = batch(64)
    loss = F.cross_entropy(model(x), label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

x, label = batch(600)
with torch.no_grad():
    share = (model(x).argmax(1) == label).float().mean().item()
print(f"recalled {100 * share:.1f} % of the first bits")
print(f"test acc {share:.3f}")
