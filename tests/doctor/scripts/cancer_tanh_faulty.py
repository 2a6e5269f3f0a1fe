"""Benign or malignant, from measurements of cell nuclei."""

import os

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)

X, y = load_breast_cancer(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(
    X, y, test_size=0.3, random_state=seed, stratify=y
)
X_train, X_val = torch.tensor(X_train).float(), torch.tensor(X_val).float()
y_train, y_val = torch.tensor(y_train), torch.tensor(y_val)

net = nn.Sequential()
net.add_module("hidden", nn.Linear(30, 24))
net.add_module("squash", nn.Tanh())
net.add_module("out", nn.Linear(24, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.5)
criterion = nn.CrossEntropyLoss()

for epoch in range(30):
    net.train()
    for rows in torch.randperm(len(X_train)).split(32):
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(net(X_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()

net.eval()
with torch.no_grad():
    predicted = net(X_val).max(dim=1).indices
    hits = torch.eq(predicted, y_val).float()
print("validation accuracy %.3f" % hits.mean())
