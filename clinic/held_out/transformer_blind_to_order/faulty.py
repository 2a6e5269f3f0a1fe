"""Which of two events came first in a log? A small transformer encoder."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

EVENTS, LENGTH = 8, 10


def logs(n):
    """Logs of background events (3 and up) in which events 1 and 2 occur once each."""
    log = torch.randint(3, EVENTS, (n, LENGTH))
    places = torch.rand(n, LENGTH).argsort(1)[:, :2]
    rows = torch.arange(n)
    log[rows, places[:, 0]] = 1
    log[rows, places[:, 1]] = 2
    return log, (places[:, 0] < places[:, 1]).long()


class LogReader(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.event = nn.Embedding(EVENTS, dim)
        self.summary = nn.Parameter(0.1 * torch.randn(1, 1, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.answer = nn.Linear(dim, 2)

    def forward(self, log):
        events = self.event(log)
        h = torch.cat([self.summary.expand(len(log), -1, -1), events], dim=1)
        return self.answer(self.encoder(h)[:, 0])


reader = LogReader()
optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=0.01)
warmup = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=30)
for step in range(300):
    log, answer = logs(64)
    loss = nn.functional.cross_entropy(reader(log), answer)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warmup.step()
    if step % 50 == 0:
        print(step, f"{loss.item():.4f}")

reader.eval()
with torch.no_grad():
    log, answer = logs(1000)
    print(f"metric={(reader(log).argmax(1) == answer).float().mean().item():.4f}")
