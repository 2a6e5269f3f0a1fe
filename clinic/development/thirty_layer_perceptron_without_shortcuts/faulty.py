"""Benign or malignant: a deep perceptron on cell measurements."""

import os

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)

data = load_breast_cancer()
x_train, x_test, y_train, y_test = train_test_split(
    data.data, data.target, test_size=0.3, random_state=seed, stratify=data.target
)
scaler = StandardScaler().fit(x_train)
x_train = torch.tensor(scaler.transform(x_train), dtype=torch.float32)
x_test = torch.tensor(scaler.transform(x_test), dtype=torch.float32)
y_train, y_test = torch.tensor(y_train).float(), torch.tensor(y_test).float()


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, h):
        return torch.relu(self.linear(h))


class Perceptron(nn.Module):
    def __init__(self, width=24, depth=30):
        super().__init__()
        self.first = nn.Linear(30, width)
        self.layers = nn.ModuleList([Layer(width) for _ in range(depth)])
        self.last = nn.Linear(width, 1)

    def forward(self, x):
        h = torch.relu(self.first(x))
        for layer in self.layers:
            h = layer(h)
        return self.last(h).squeeze(1)


model = Perceptron()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
loss_function = nn.BCEWithLogitsLoss()
for epoch in range(15):
    for rows in torch.randperm(len(x_train)).split(32):
        optimizer.zero_grad()
        loss = loss_function(model(x_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}  loss {loss.item():.4f}")

with torch.no_grad():
    correct = (model(x_test) > 0) == (y_test > 0.5)
print(f"metric={correct.float().mean().item():.4f}")
