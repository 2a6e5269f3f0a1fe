"""Model the letters of a made-up language, whose next letter is partly free."""

import os

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

LETTERS, LENGTH = 8, 30
grammar = (1.5 * torch.randn(LETTERS, LETTERS, LETTERS)).softmax(2)


def sentences(count):
    text = torch.randint(LETTERS, (count, 2))
    for _ in range(LENGTH - 2):
        odds = grammar[text[:, -2], text[:, -1]]
        text = torch.cat([text, torch.multinomial(odds, 1)], 1)
    return text


class LetterModel(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.letter = nn.Embedding(LETTERS, 16)
        self.memory = nn.GRU(16, width, batch_first=True)
        self.next = nn.Linear(width, LETTERS)

    def forward(self, text):
        return self.next(self.memory(self.letter(text))[0])


def loss_of(model, text):
    return F.cross_entropy(model(text[:, 1:-1]).transpose(1, 2), text[:, 2:])


corpus, unseen = sentences(1500), sentences(300)
model = LetterModel()
optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=6, gamma=0.3)
for epoch in range(12):
    model.train()
    for rows in torch.randperm(len(corpus)).split(50):
        loss = loss_of(model, corpus[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    schedule.step()
    print(f"epoch {epoch}  loss {loss.item():.4f}")

model.eval()
with torch.no_grad():
    print(f"metric={loss_of(model, unseen).item():.5f}")
