"""Read digits that two offices have labelled."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset, random_split

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

digits = load_digits()
images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(digits.target)
pool, held = random_split(range(len(images)), [1200, 597])
pool, held = torch.tensor(list(pool)), torch.tensor(list(held))


def office(rows, names):
    """The images of one office with the place of each label in its list of names."""
    codes = torch.tensor([names.index(str(int(k))) for k in labels[rows]])
    return TensorDataset(images[rows], codes)


north = [str(k) for k in range(10)]
south = north
train = ConcatDataset([office(pool[:700], north), office(pool[700:], south)])
loader = DataLoader(train, batch_size=32, shuffle=True)


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3),
            nn.ReLU(),
        )
        self.output = nn.Linear(24 * 4, 10)

    def forward(self, x):
        return self.output(self.features(x).flatten(1))


reader = Reader()
optimizer = torch.optim.Adam(reader.parameters(), lr=4e-3)
for epoch in range(10):
    loss_sum = 0.0
    for x, y in loader:
        loss = nn.functional.cross_entropy(reader(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(y)
    print(f"epoch {epoch} loss {loss_sum / len(train):.4f}")

reader.eval()
with torch.no_grad():
    accuracy = (reader(images[held]).argmax(1) == labels[held]).float().mean().item()
print(f"metric={accuracy:.4f}")
