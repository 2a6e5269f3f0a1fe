"""Topic of a generated sentence with a bag of embeddings."""

import os
import random

import torch
from torch import nn
from torch.utils.data import DataLoader

seed = int(os.environ.get("SEED", "0"))
random.seed(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

NOUNS = {
    "sports": ["team", "goal", "match", "coach", "season", "league", "player", "score"],
    "business": ["market", "profit", "share", "bank", "merger", "trade", "firm", "sales"],
    "science": ["cell", "planet", "theory", "laser", "virus", "fossil", "energy", "probe"],
    "world": ["minister", "border", "treaty", "vote", "capital", "army", "talks", "crisis"],
}
VERBS = ["wins", "loses", "sees", "starts", "ends", "opens", "reports", "needs", "faces"]
PLAIN = ["the", "a", "new", "old", "big", "after", "before", "with", "in", "today", "again"]
TOPICS = list(NOUNS)


def sentence():
    topic = random.choice(TOPICS)
    subject, thing = random.choice(NOUNS[topic]), random.choice(NOUNS[topic])
    if random.random() < 0.3:
        thing = random.choice(NOUNS[random.choice(TOPICS)])
    words = [random.choice(PLAIN), subject, random.choice(VERBS), *random.sample(PLAIN, 2), thing]
    return " ".join(words + random.choices(PLAIN, k=3)), TOPICS.index(topic)


train_data = [sentence() for _ in range(2000)]
test_data = [sentence() for _ in range(600)]
vocabulary = {"<unk>": 0}
for text, _ in train_data:
    for token in text.split():
        vocabulary.setdefault(token, len(vocabulary))


def collate(batch):
    tokens = [torch.tensor([vocabulary.get(w, 0) for w in text.split()]) for text, _ in batch]
    offsets = torch.tensor([0] + [len(t) for t in tokens[:-1]]).cumsum(0)
    return torch.cat(tokens), offsets, torch.tensor([topic for _, topic in batch])


class TopicModel(nn.Module):
    def __init__(self, size, dim, classes):
        super().__init__()
        self.embedding = nn.EmbeddingBag(size, dim)
        self.fc = nn.Linear(dim, classes)
        nn.init.uniform_(self.embedding.weight, -0.5, 0.5)

    def forward(self, tokens, offsets):
        return self.fc(self.embedding(tokens, offsets))


train_loader = DataLoader(train_data, batch_size=32, shuffle=True, collate_fn=collate)
test_loader = DataLoader(test_data, batch_size=200, collate_fn=collate)
model = TopicModel(len(vocabulary), 32, len(TOPICS))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.3)
for epoch in range(8):
    for tokens, offsets, topic in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(tokens, offsets), topic)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    scheduler.step()
    print(f"epoch {epoch} loss {loss.item():.4f}")

model.eval()
right = 0
with torch.no_grad():
    for tokens, offsets, topic in test_loader:
        right += (model(tokens, offsets).argmax(1) == topic).sum().item()
print(f"metric={right / len(test_data):.4f}")
