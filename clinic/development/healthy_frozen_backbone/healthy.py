"""Transfer learning: digits 0 to 5 first, then 6 to 9 from few examples."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

data = load_digits()
images = torch.tensor(data.images / 8 - 1, dtype=torch.float32)[:, None]
labels = torch.tensor(data.target)
source = torch.nonzero(labels < 6)[:, 0]
target = torch.nonzero(labels >= 6)[:, 0]
target = target[torch.randperm(len(target))]
few, test = target[:160], target[160:]

backbone = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
)


def fit(model, optimizer, rows, offset, epochs):
    for epoch in range(epochs):
        total = 0.0
        for batch in rows[torch.randperm(len(rows))].split(32):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch] - offset)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch} loss {total / len(rows):.4f}")


pretrained = nn.Sequential(backbone, nn.Linear(32 * 16, 6))
fit(pretrained, torch.optim.Adam(pretrained.parameters(), lr=2e-3), source, 0, epochs=3)

for parameter in backbone.parameters():
    parameter.requires_grad = False
model = nn.Sequential(backbone, nn.Linear(32 * 16, 4))
optimizer = torch.optim.SGD(model[1].parameters(), lr=0.01, momentum=0.9)
fit(model, optimizer, few, 6, epochs=15)

model.eval()
with torch.no_grad():
    accuracy = (model(images[test]).argmax(1) + 6 == labels[test]).float().mean().item()
print(f"metric={accuracy:.4f}")
