"""Find the community of each member of a social network from a few known ones."""

import os

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

MEMBERS, COMMUNITIES, INTERESTS = 300, 4, 10
community = torch.arange(MEMBERS) % COMMUNITIES
same = community[:, None] == community
friends = torch.rand(MEMBERS, MEMBERS) < torch.where(same, 0.15, 0.02)
friends = (friends.triu(1) | friends.triu(1).T).float() + torch.eye(MEMBERS)
topics = torch.randn(COMMUNITIES, INTERESTS)
interests = 0.4 * topics[community] + torch.randn(MEMBERS, INTERESTS)
known = torch.rand(MEMBERS) < 0.3


class GraphLayer(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, h, adjacency):
        return adjacency @ self.linear(h)


class GraphNet(nn.Module):
    def __init__(self, width=32, depth=4):
        super().__init__()
        sizes = [INTERESTS] + [width] * (depth - 1) + [COMMUNITIES]
        self.layers = nn.ModuleList(map(GraphLayer, sizes[:-1], sizes[1:]))

    def forward(self, h, adjacency):
        for layer in self.layers[:-1]:
            h = F.elu(layer(h, adjacency))
        return self.layers[-1](h, adjacency)


adjacency = friends / friends.sum(1, keepdim=True)
model = GraphNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for step in range(150):
    loss = F.cross_entropy(model(interests, adjacency)[known], community[known])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        print(f"step {step} loss {loss.item():.4f}")

with torch.no_grad():
    found = model(interests, adjacency).argmax(1)
print(f"metric={(found == community)[~known].float().mean().item():.4f}")
