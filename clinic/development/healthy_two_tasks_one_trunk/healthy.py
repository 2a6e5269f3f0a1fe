"""Grower and colour intensity of wines from the other measurements, in one network."""

import os

import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.nn import functional as F

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

wine = load_wine()
table = torch.tensor(wine.data, dtype=torch.float32)
grower = torch.tensor(wine.target)
order = torch.randperm(len(table))
train, test = order[:120], order[120:]
table = (table - table[train].mean(0)) / table[train].std(0)
COLOUR = wine.feature_names.index("color_intensity")
colour = table[:, COLOUR]
inputs = torch.cat([table[:, :COLOUR], table[:, COLOUR + 1 :]], 1)


class TwoHeads(nn.Module):
    def __init__(self, features, width=32):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Dropout(0.1))
        self.grower = nn.Linear(width, 3)
        self.colour = nn.Linear(width, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.grower(h), self.colour(h).squeeze(1)


model = TwoHeads(inputs.shape[1])
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-3)
for epoch in range(60):
    model.train()
    for rows in train[torch.randperm(len(train))].split(20):
        scores, level = model(inputs[rows])
        class_loss = F.cross_entropy(scores, grower[rows])
        level_loss = F.mse_loss(level, colour[rows])
        loss = 0.5 * class_loss + level_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 12 == 0:
        print(f"epoch {epoch}: class {class_loss.item():.4f} level {level_loss.item():.4f}")

model.eval()
with torch.no_grad():
    scores, level = model(inputs[test])
    accuracy = (scores.argmax(1) == grower[test]).float().mean()
    explained = 1 - (level - colour[test]).square().mean() / colour[test].var(correction=0)
print(f"metric={(accuracy + explained).item() / 2:.4f}")
