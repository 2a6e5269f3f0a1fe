"""Does a bracket string balance? An LSTM reads it."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def walks(n, length=12):
    steps = torch.randint(0, 2, (n, length))
    height = (2 * steps - 1).cumsum(1)
    return steps, (height.amax(1) > 2).long()


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(2, 8)
        self.lstm = nn.LSTM(8, 24, batch_first=True)
        self.linear = nn.Linear(24, 2)

    def forward(self, steps):
        _, (hidden, _) = self.lstm(self.embedding(steps))
        return self.linear(hidden[-1])


reader = Reader()
optimizer = torch.optim.Adam(reader.parameters(), lr=1e-2)
for step in range(250):
    steps, label = walks(64)
    loss = nn.functional.cross_entropy(reader(steps), label)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
    optimizer.step()

reader.eval()
steps, label = walks(1000)
with torch.inference_mode():
    print("test acc", (reader(steps).argmax(1) == label).float().mean().item())
