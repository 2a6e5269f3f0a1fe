"""A small image network: features, then a linear classifier."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
target = torch.tensor(digits.target)
order = torch.randperm(len(target))
train, test = order[:1200], order[1200:]


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 6, 3, stride=2), nn.Tanh(), nn.Flatten()
        )
        self.linear = nn.Linear(24, 10)

    def forward(self, x):
        with torch.no_grad():
            x = self.features(x)
        return self.linear(x)


model = Classifier()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(8):
    model.train()
    for batch in train[torch.randperm(1200)].split(60):
        loss = nn.functional.cross_entropy(model(images[batch]), target[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        correct = (model(images[test]).argmax(1) == target[test]).float().mean()
    print(f"epoch {epoch + 1}, test acc {correct:.3f}")
