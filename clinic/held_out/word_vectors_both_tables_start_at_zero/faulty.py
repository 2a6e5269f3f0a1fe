"""Word vectors whose products explain how often two words meet."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

WORDS, SIZE = 120, 6
meaning = torch.randn(WORDS, 4)
frequency = torch.randn(WORDS)
meetings = meaning @ meaning.T / 2 + frequency[:, None] + frequency
left, right = torch.triu_indices(WORDS, WORDS, 1)
target = meetings[left, right] + 0.2 * torch.randn(len(left))
order = torch.randperm(len(left))
train, test = order[:-1000], order[-1000:]


class Vectors(nn.Module):
    def __init__(self):
        super().__init__()
        self.word = nn.Embedding(WORDS, SIZE)
        self.context = nn.Embedding(WORDS, SIZE)
        self.bias = nn.Embedding(WORDS, 1)
        for table in (self.word, self.context, self.bias):
            nn.init.zeros_(table.weight)

    def forward(self, i, j):
        product = (self.word(i) * self.context(j)).sum(-1)
        return product + (self.bias(i) + self.bias(j)).squeeze(-1)


vectors = Vectors()
optimizer = torch.optim.Adagrad(vectors.parameters(), lr=0.2)
for epoch in range(25):
    for rows in train[torch.randperm(len(train))].split(128):
        loss = nn.functional.mse_loss(vectors(left[rows], right[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch} loss {loss.item():.4f}")

with torch.no_grad():
    error = nn.functional.mse_loss(vectors(left[test], right[test]), target[test]).sqrt().item()
print(f"metric={error:.5f}")
