"""Tell words of a made-up language from scrambled ones: a character CNN."""

import os
import random

import torch
from torch import nn

seed = int(os.environ.get("SEED", "0"))
random.seed(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

VOWELS, CONSONANTS = "aeiou", "bcdfghklmnprstvz"
LETTERS = "".join(sorted(VOWELS + CONSONANTS))


def word(real):
    """Real words alternate consonants and vowels, with one double consonant at most."""
    text = "".join(random.choice(CONSONANTS) + random.choice(VOWELS) for _ in range(5))
    if not real:
        i, j = random.sample(range(10), 2)
        letters = list(text)
        letters[i], letters[j] = random.choice(LETTERS), random.choice(LETTERS)
        random.shuffle(letters)
        text = "".join(letters)
    return [LETTERS.index(c) for c in text]


def words(n):
    real = [random.random() < 0.5 for _ in range(n)]
    return torch.tensor([word(r) for r in real]), torch.tensor(real, dtype=torch.float32)


class CharCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), 16)
        self.conv = nn.Conv1d(16, 48, 3, padding=1)
        self.head = nn.Linear(48, 1)

    def forward(self, text):
        h = torch.relu(self.conv(self.letters(text).transpose(1, 2)))
        return self.head(h.mean(2)).squeeze(1)


x, y = words(2500)
x_test, y_test = words(1000)
model = CharCNN()
steps = 900
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
rate = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda s: min(1.0, (s + 1) / 20) * (1 - s / steps)
)
for step in range(steps):
    rows = torch.randint(len(x), (50,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        score = model(x[rows])
    loss = nn.functional.binary_cross_entropy_with_logits(score.float(), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    rate.step()
    if step % 200 == 0:
        print(f"step {step:3d} loss {loss.item():.4f}")

with torch.no_grad():
    print(f"metric={((model(x_test) > 0) == (y_test > 0.5)).float().mean().item():.4f}")
