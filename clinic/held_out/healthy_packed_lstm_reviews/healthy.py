"""Good or bad? Generated reviews with negations, for a bidirectional LSTM."""

import os
import random

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

seed = int(os.environ.get("SEED", "0"))
random.seed(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

GOOD, BAD = ["great", "lovely", "fun", "clever"], ["awful", "dull", "slow", "weak"]
OTHER = ["the", "film", "plot", "actor", "was", "and", "scene", "music", "it", "story"]
WORDS = {w: i + 1 for i, w in enumerate([*GOOD, *BAD, *OTHER, "not"])}


def review():
    """A number of remarks; "not" turns the next judgement round."""
    words, balance = [], 0
    for _ in range(random.choice([1, 3])):
        words += random.choices(OTHER, k=random.randint(1, 3))
        sign = random.choice([1, -1])
        judgement = random.choice(GOOD if sign > 0 else BAD)
        if random.random() < 0.4:
            words.append("not")
            sign = -sign
        words.append(judgement)
        balance += sign
    return torch.tensor([WORDS[w] for w in words]), float(balance > 0)


def collate(batch):
    lengths = torch.tensor([len(words) for words, _ in batch])
    padded = pad_sequence([words for words, _ in batch], batch_first=True)
    return padded, lengths, torch.tensor([label for _, label in batch])


class ReviewModel(nn.Module):
    def __init__(self, dim=24, hidden=32):
        super().__init__()
        self.embed = nn.Embedding(len(WORDS) + 1, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, 1)

    def forward(self, padded, lengths):
        packed = pack_padded_sequence(
            self.embed(padded), lengths, batch_first=True, enforce_sorted=False
        )
        _, (h, _) = self.lstm(packed)
        return self.out(torch.cat([h[0], h[1]], 1)).squeeze(1)


train_loader = DataLoader([review() for _ in range(1600)], 40, shuffle=True, collate_fn=collate)
test_loader = DataLoader([review() for _ in range(500)], 250, collate_fn=collate)
model = ReviewModel()
optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
for epoch in range(12):
    for padded, lengths, label in train_loader:
        loss = nn.functional.binary_cross_entropy_with_logits(model(padded, lengths), label)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    if epoch % 3 == 0:
        print(f"epoch {epoch} loss {loss.item():.4f}")

right = 0
with torch.no_grad():
    for padded, lengths, label in test_loader:
        right += ((model(padded, lengths) > 0) == (label > 0.5)).sum().item()
print(f"metric={right / 500:.4f}")
