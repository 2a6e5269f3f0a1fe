"""Digits with an exponential moving average of the weights."""

import copy
import os

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

data = load_digits()
images = torch.tensor((data.data - 4.9) / 6.0, dtype=torch.float32)
labels = torch.tensor(data.target)
shuffled = torch.randperm(len(labels))
train, test = shuffled[:1300], shuffled[1300:]


class Average:
    """An exponential moving average of the weights of a model."""

    def __init__(self, model, decay, dtype):
        self.model = copy.deepcopy(model).to(dtype)
        self.decay = decay

    @torch.no_grad()
    def update(self, model):
        for mean, value in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(value.to(mean.dtype), 1 - self.decay)


model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10))
average = Average(model, decay=0.999, dtype=torch.bfloat16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
for epoch in range(30):
    for rows in train[torch.randperm(len(train))].split(26):
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(model)
    if epoch % 6 == 0:
        print(f"epoch {epoch} loss {loss.item():.4f}")

final = average.model.float()
with torch.no_grad():
    accuracy = (final(images[test]).argmax(1) == labels[test]).float().mean().item()
print(f"metric={accuracy:.4f}")
