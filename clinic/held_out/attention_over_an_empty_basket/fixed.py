"""Will a customer come back? Attention over the items of a shopping basket."""

import os

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
ITEMS = 60
charm = torch.randn(ITEMS + 1)


def customers(n):
    """Item numbers (1 and up), padded with 0, and whether the customer came back."""
    baskets = []
    for size in torch.poisson(torch.full((n,), 5.0)).int().tolist():
        baskets.append(torch.randint(1, ITEMS + 1, (size,)))
    basket = pad_sequence(baskets, batch_first=True)
    appeal = (charm[basket] * (basket > 0)).sum(1)
    return basket, (appeal + 0.3 * torch.randn(n) > 0).float()


class BasketModel(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.item = nn.Embedding(ITEMS + 1, dim, padding_idx=0)
        self.query = nn.Parameter(torch.randn(dim) / dim**0.5)
        self.head = nn.Sequential(nn.Linear(dim + 1, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, basket):
        items = self.item(basket)
        present = basket > 0
        relevance = items @ self.query
        relevance = relevance.masked_fill(~present, -1e9)
        weight = torch.softmax(relevance, dim=1).unsqueeze(2)
        size = present.sum(1, keepdim=True).float() / 5
        return self.head(torch.cat([(weight * items).sum(1), size], 1)).squeeze(1)


basket, back = customers(3000)
train, test = slice(0, 2200), slice(2200, None)
model = BasketModel()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
for epoch in range(12):
    order = torch.randperm(2200)
    for i in range(0, 2200, 55):
        rows = order[i : i + 55]
        loss = nn.functional.binary_cross_entropy_with_logits(model(basket[rows]), back[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    if epoch % 3 == 0:
        print(f"epoch {epoch} loss {loss.item():.4f}")

with torch.no_grad():
    right = (model(basket[test]) > 0) == (back[test] > 0.5)
print(f"metric={right.float().mean().item():.4f}")
