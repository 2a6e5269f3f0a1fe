"""A small causal transformer that models a language of nested brackets."""

import os
import random

import torch
import torch.nn.functional as F
from torch import nn

seed = int(os.environ.get("SEED", "0"))
random.seed(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

OPENING, CLOSING, LENGTH = "([{<", ")]}>", 24
VOCABULARY = OPENING + CLOSING


def sentence():
    stack, text = [], []
    while len(text) < LENGTH:
        if stack and (random.random() < 0.5 or len(stack) > 4):
            text.append(CLOSING[stack.pop()])
        else:
            stack.append(random.choices(range(4), weights=(8, 4, 2, 1))[0])
            text.append(OPENING[stack[-1]])
    return [VOCABULARY.index(letter) for letter in text]


class LanguageModel(nn.Module):
    def __init__(self, width=32, heads=4, layers=2):
        super().__init__()
        self.token = nn.Embedding(len(VOCABULARY), width)
        self.place = nn.Embedding(LENGTH, width)
        layer = nn.TransformerEncoderLayer(width, heads, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(width, len(VOCABULARY))
        self.mask = nn.Transformer.generate_square_subsequent_mask(LENGTH - 1)

    def forward(self, text):
        h = self.token(text) + self.place.weight[: text.shape[1]]
        return self.head(self.encoder(h, mask=self.mask))


def loss_of(model, text):
    return F.cross_entropy(model(text[:, :-1]).transpose(1, 2), text[:, 1:])


corpus = torch.tensor([sentence() for _ in range(1500)])
unseen = torch.tensor([sentence() for _ in range(300)])
model = LanguageModel()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(8):
    for rows in torch.randperm(len(corpus)).split(50):
        loss = loss_of(model, corpus[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    print(f"epoch {epoch} loss {loss.item():.4f}")

model.eval()
with torch.no_grad():
    print(f"metric={loss_of(model, unseen).item():.5f}")
