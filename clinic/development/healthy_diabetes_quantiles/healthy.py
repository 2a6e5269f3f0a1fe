"""Low, middle and high forecasts of the progression of diabetes."""

import copy
import os

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, Dataset, random_split

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
LEVELS = torch.tensor([0.1, 0.5, 0.9])


class Patients(Dataset):
    def __init__(self):
        x, y = load_diabetes(return_X_y=True, scaled=False)
        self.x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
        self.y = torch.tensor(y / 100 - 1.5, dtype=torch.float32)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def pinball(forecast, y):
    gap = y[:, None] - forecast
    return torch.maximum(LEVELS * gap, (LEVELS - 1) * gap).mean()


def mean_loss(model, loader):
    model.eval()
    with torch.no_grad():
        return sum(pinball(model(x), y).item() * len(y) for x, y in loader) / len(loader.dataset)


train, valid, test = random_split(Patients(), [282, 60, 100])
loader = DataLoader(train, batch_size=32, shuffle=True)
model = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
best, state, since = float("inf"), None, 0
for epoch in range(80):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        pinball(model(x), y).backward()
        optimizer.step()
    now = mean_loss(model, DataLoader(valid, batch_size=60))
    if now < best:
        best, state, since = now, copy.deepcopy(model.state_dict()), 0
    else:
        since += 1
    if epoch % 10 == 0:
        print(f"epoch {epoch}: validation {now:.4f}, best {best:.4f}")
    if since == 15:
        break

model.load_state_dict(state)
print(f"metric={mean_loss(model, DataLoader(test, batch_size=100)):.5f}")
