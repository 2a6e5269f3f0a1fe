"""Tell whether two noisy signatures were made by the same writer."""

import os

import torch
import torch.nn.functional as F
from torch import nn

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)

WRITERS, NOTES = 40, 24
style = torch.randn(WRITERS, 5)
mixing = torch.randn(5, NOTES) / 5**0.5


def signatures(writers):
    strokes = torch.tanh(style[writers] @ mixing)
    mood = 1.5 * torch.randn(len(writers), 1) * torch.ones(NOTES)
    return strokes + mood + 0.25 * torch.randn(len(writers), NOTES)


def pairs(count):
    first = torch.randint(WRITERS, (count,))
    other = torch.randint(WRITERS, (count,))
    second = torch.where(torch.rand(count) < 0.5, first, other)
    return signatures(first), signatures(second), (first == second).float()


class Siamese(nn.Module):
    def __init__(self, size=8):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(NOTES, 48),
            nn.ReLU(),
            nn.Linear(48, size),
        )

    def forward(self, left, right):
        return (self.embed(left) - self.embed(right)).square().sum(1).add(1e-6).sqrt()


def contrastive(distance, same, margin=2.0):
    apart = F.relu(margin - distance)
    return (same * distance.square() + (1 - same) * apart.square()).mean()


net = Siamese()
sgd = torch.optim.SGD(net.parameters(), lr=2e-5, momentum=0.9)
for step in range(1200):
    left, right, same = pairs(64)
    loss = contrastive(net(left, right), same)
    sgd.zero_grad(set_to_none=True)
    loss.backward()
    sgd.step()
    if step % 200 == 0:
        print(step, round(loss.item(), 4))

with torch.no_grad():
    left, right, same = pairs(2000)
    accuracy = ((net(left, right) < 1.0).float() == same).float().mean().item()
print(f"metric={accuracy:.4f}")
