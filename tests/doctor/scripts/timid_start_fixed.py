"""A four-layer network on nested rings."""

import os

import torch
from sklearn.datasets import make_hastie_10_2
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_hastie_10_2(2000, random_state=SEED)
dataset = TensorDataset(torch.tensor(x).float(), torch.tensor(y > 0).long())
train, held_out = random_split(dataset, [1500, 500])

model = nn.Sequential(
    nn.Linear(10, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(),
    nn.Linear(50, 2),
)  # fmt: skip
for weight in model.parameters():
    nn.init.normal_(weight, std=(2 / weight.shape[-1]) ** 0.5 if weight.dim() > 1 else 0.005)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.8)

for epoch in range(10):
    for xb, yb in DataLoader(train, batch_size=50, shuffle=True):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(xb), yb)
        loss.backward()
        optimizer.step()

scores = []
with torch.no_grad():
    for xb, yb in DataLoader(held_out, batch_size=250):
        scores.append((model(xb).argmax(1) == yb).float().mean())
print("held-out accuracy", torch.stack(scores).mean().item())
