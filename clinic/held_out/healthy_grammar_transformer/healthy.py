"""A causal transformer learns the sentences of a random grammar."""

import math
import os
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Config:
    vocab: int = 16
    dim: int = 32
    heads: int = 4
    length: int = 20
    batch: int = 32
    steps: int = 350
    lr: float = 2e-2


class Grammar:
    """The next symbol depends on the one before and, for a switch, on the one before that."""

    def __init__(self, vocab):
        self.table = torch.softmax(3.0 * torch.randn(2, vocab, vocab), 2)

    def write(self, n, length):
        ids = [torch.randint(self.table.shape[1], (n,)) for _ in range(2)]
        while len(ids) <= length:
            rows = self.table[ids[-2] % 2, ids[-1]]
            ids.append(torch.multinomial(rows, 1)[:, 0])
        return torch.stack(ids, 1)


class Transformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.token = nn.Embedding(c.vocab, c.dim)
        self.place = nn.Embedding(c.length, c.dim)
        layer = nn.TransformerEncoderLayer(
            c.dim,
            c.heads,
            4 * c.dim,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(c.dim)
        self.head = nn.Linear(c.dim, c.vocab)
        mask = torch.full((c.length, c.length), float("-inf")).triu(1)
        self.register_buffer("mask", mask)

    def forward(self, ids):
        h = self.token(ids) + self.place.weight
        return self.head(self.norm(self.blocks(h, mask=self.mask)))


def loss_on(model, ids):
    return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


def main():
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    torch.set_num_threads(1)
    c = Config()
    grammar = Grammar(c.vocab)
    model = Transformer(c)
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=c.lr
    )

    def factor(step):
        warm = (step + 1) / 30
        return min(warm, 0.5 * (1 + math.cos(math.pi * step / c.steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for step in range(c.steps):
        loss = loss_on(model, grammar.write(c.batch, c.length))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 70 == 0:
            print(f"{step:4d} {loss.item():.4f}")
    model.eval()
    with torch.no_grad():
        print(f"metric={loss_on(model, grammar.write(600, c.length)).item():.4f}")


if __name__ == "__main__":
    main()
