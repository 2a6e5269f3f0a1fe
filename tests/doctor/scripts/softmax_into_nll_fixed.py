"""Newsgroup-like topics from bags of words."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

TOPICS, WORDS = 12, 120
vocabulary = torch.distributions.Dirichlet(torch.full((WORDS,), 0.15)).sample((TOPICS,))


def documents(n):
    topic = torch.randint(0, TOPICS, (n,))
    mixed = 0.35 * vocabulary[topic] + 0.65 / WORDS
    words = torch.multinomial(mixed, 40, replacement=True)
    return nn.functional.one_hot(words, WORDS).float().sum(1).sqrt(), topic


class TopicModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(WORDS, 64)
        self.output = nn.Linear(64, TOPICS)

    def forward(self, x):
        return nn.functional.log_softmax(self.output(self.hidden(x).relu()), dim=1)


bags, topics = documents(1000)
new_bags, new_topics = documents(500)
model = TopicModel()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
nll = nn.NLLLoss()
for epoch in range(6):
    for rows in torch.randperm(1000).split(40):
        optimizer.zero_grad()
        nll(model(bags[rows]), topics[rows]).backward()
        optimizer.step()

with torch.no_grad():
    best = model(new_bags).topk(1, dim=1).indices.squeeze(1)
print("test accuracy =", (best == new_topics).float().mean().item())
