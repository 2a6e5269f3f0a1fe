"""Guess the language of a short string."""

import os
import random

import torch
from torch import nn

seed = int(os.environ.get("SEED", "0"))
random.seed(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
habits = [
    {a: [random.gammavariate(0.25, 1.0) for _ in ALPHABET] for a in ALPHABET} for _ in range(5)
]


def sentence(language, length=18):
    text = random.choice(ALPHABET)
    while len(text) < length:
        text += random.choices(ALPHABET, weights=habits[language][text[-1]])[0]
    return [ALPHABET.index(c) for c in text]


class LanguageGuesser(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(26, 16)
        self.gru = nn.GRU(16, 32, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, text):
        states, _ = self.gru(self.letters(text))
        return self.head(states.mean(1))


train_set = [(sentence(k), k) for k in range(5) for _ in range(400)]
test_set = [(sentence(k), k) for k in range(5) for _ in range(100)]


def batches(examples, size=50):
    for i in range(0, len(examples), size):
        texts, languages = zip(*examples[i : i + size], strict=True)
        yield torch.tensor(texts), torch.tensor(languages)


model = LanguageGuesser()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(8):
    total = 0.0
    for text, language in batches(train_set):
        loss = criterion(model(text), language)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch}: {total / 40:.4f}")

hits = 0
with torch.no_grad():
    for text, language in batches(test_set):
        hits += (model(text).argmax(1) == language).sum().item()
print(f"metric={hits / len(test_set):.4f}")
