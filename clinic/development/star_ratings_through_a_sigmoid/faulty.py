"""Rating prediction with user and item factors."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

N_USERS, N_ITEMS, RANK = 120, 90, 3


def make_ratings(n):
    taste, kind = torch.randn(N_USERS, RANK), torch.randn(N_ITEMS, RANK)
    kindness, quality = 0.5 * torch.randn(N_USERS), 0.7 * torch.randn(N_ITEMS)
    user, item = torch.randint(N_USERS, (n,)), torch.randint(N_ITEMS, (n,))
    score = 3.2 + kindness[user] + quality[item] + 0.6 * (taste[user] * kind[item]).sum(1)
    return user, item, (score + 0.3 * torch.randn(n)).round().clamp(1, 5)


class Recommender(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.user = nn.Embedding(N_USERS, dim)
        self.item = nn.Embedding(N_ITEMS, dim)
        self.user_bias = nn.Embedding(N_USERS, 1)
        self.item_bias = nn.Embedding(N_ITEMS, 1)
        for table in self.children():
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, user, item):
        match = (self.user(user) * self.item(item)).sum(1)
        logit = match + self.user_bias(user)[:, 0] + self.item_bias(item)[:, 0]
        return torch.sigmoid(logit)


user, item, stars = make_ratings(6000)
train = TensorDataset(user[:5000], item[:5000], stars[:5000])
loader = DataLoader(train, batch_size=100, shuffle=True)
model = Recommender()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-4)
for epoch in range(15):
    total = 0.0
    for u, i, s in loader:
        loss = nn.functional.mse_loss(model(u, i), s)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 5 == 0:
        print(f"epoch {epoch} train mse {total / len(loader):.3f}")

model.eval()
with torch.no_grad():
    gap = model(user[5000:], item[5000:]) - stars[5000:]
print(f"metric={gap.square().mean().sqrt().item():.4f}")
