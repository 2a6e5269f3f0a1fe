"""Wine cultivars, carefully regularized."""

import os

import torch
from sklearn.datasets import make_classification
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_classification(
    1200, 16, n_informative=8, n_classes=4, n_clusters_per_class=2, class_sep=1.5, random_state=SEED
)
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)


class Net(nn.Module):
    def __init__(self, drop):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)
        self.drop = nn.Dropout(drop)

    def forward(self, x):
        x = self.drop(torch.relu(self.fc1(x)))
        x = self.drop(torch.relu(self.fc2(x)))
        return self.fc3(x)


net = Net(0.9)
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(15):
    net.train()
    for rows in torch.randperm(900).split(45):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        loss.backward()
        optimizer.step()

net.eval()
with torch.no_grad():
    accuracy = (net(x[900:]).argmax(1) == y[900:]).float().mean()
print(f"test accuracy {accuracy.item():.3f}")
