"""Assign several tags to an article from its word counts."""

import argparse
import os

import numpy as np
import torch
from torch import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--batch-size", type=int, default=40)
parser.add_argument("--lr", type=float, default=0.2)
parser.add_argument("--hidden", type=int, default=48)
args = parser.parse_args()

seed = int(os.environ.get("SEED", "0"))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

WORDS, TAGS, ARTICLES = 60, 8, 2400
topics = rng.dirichlet(np.full(WORDS, 0.15), size=TAGS)


def write_articles(count):
    tags = rng.random((count, TAGS)) < 0.3
    tags[np.arange(count), rng.integers(TAGS, size=count)] = True
    mix = tags @ topics / tags.sum(1, keepdims=True)
    words = np.stack([rng.multinomial(80, p / p.sum()) for p in mix])
    words = np.log1p(words)
    return torch.tensor(words, dtype=torch.float32), torch.tensor(tags, dtype=torch.float32)


words, tags = write_articles(ARTICLES)
new_words, new_tags = write_articles(600)
mean, std = words.mean(0), words.std(0)
words, new_words = (words - mean) / std, (new_words - mean) / std

tagger = nn.Sequential(nn.Linear(WORDS, args.hidden), nn.Tanh(), nn.Linear(args.hidden, TAGS))
optimizer = torch.optim.SGD(tagger.parameters(), lr=args.lr, momentum=0.9, nesterov=True)
criterion = nn.BCEWithLogitsLoss()

for epoch in range(args.epochs):
    order = torch.randperm(ARTICLES)
    for i in range(0, ARTICLES, args.batch_size):
        rows = order[i : i + args.batch_size]
        optimizer.zero_grad()
        loss = criterion(tagger(words[rows]), tags[rows])
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}/{args.epochs}  loss {loss.item():.4f}")

with torch.no_grad():
    guess = (tagger(new_words) > 0).float()
hits = (guess * new_tags).sum()
f1 = 2 * hits / (guess.sum() + new_tags.sum())
print(f"metric={f1.item():.4f}")
