"""Tag generated articles: any number of eight topics each."""

import os
import random

import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import DataLoader

seed = int(os.environ.get("SEED", "0"))
random.seed(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

TOPICS, WORDS = 8, 400
topic_words = [random.sample(range(WORDS), 25) for _ in range(TOPICS)]


def article():
    tags = [float(random.random() < 0.3) for _ in range(TOPICS)]
    words = [random.randrange(WORDS) for _ in range(15)]
    for k in range(TOPICS):
        if tags[k]:
            words += random.choices(topic_words[k], k=6)
    return words, tags


def collate(articles):
    words = torch.tensor([w for text, _ in articles for w in text])
    lengths = torch.tensor([0] + [len(text) for text, _ in articles[:-1]])
    return words, lengths.cumsum(0), torch.tensor([tags for _, tags in articles])


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(WORDS, 32, mode="sum")
        nn.init.normal_(self.bag.weight, std=0.1)
        self.out = nn.Linear(32, TOPICS)

    def forward(self, words, offsets):
        return self.out(torch.tanh(self.bag(words, offsets)))


train_loader = DataLoader([article() for _ in range(1500)], 50, shuffle=True, collate_fn=collate)
test_loader = DataLoader([article() for _ in range(500)], 250, collate_fn=collate)
tagger = Tagger()
optimizer = torch.optim.Adam(tagger.parameters(), lr=5e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(10):
    for words, offsets, tags in train_loader:
        loss = criterion(tagger(words, offsets), tags)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 3 == 0:
        print(f"epoch {epoch} loss {loss.item():.4f}")

found, true = [], []
with torch.no_grad():
    for words, offsets, tags in test_loader:
        found.append(tagger(words, offsets) > 0)
        true.append(tags > 0.5)
score = f1_score(torch.cat(true).numpy(), torch.cat(found).numpy(), average="micro")
print(f"metric={score:.4f}")
