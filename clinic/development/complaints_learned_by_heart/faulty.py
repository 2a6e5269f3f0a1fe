"""Route short complaints to one of three departments from their words."""

import os
import random

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(os.environ.get("SEED", "0"))
random.seed(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

THEMES = {
    "billing": [
        "invoice",
        "charge",
        "refund",
        "payment",
        "card",
        "account",
        "twice",
        "price",
        "fee",
        "month",
    ],
    "delivery": [
        "parcel",
        "late",
        "courier",
        "box",
        "address",
        "lost",
        "door",
        "week",
        "track",
        "damaged",
    ],
    "product": [
        "broken",
        "screen",
        "button",
        "battery",
        "noise",
        "stopped",
        "repair",
        "screw",
        "light",
        "heat",
    ],
}
FILLER = [f"word{i}" for i in range(120)]
VOCABULARY = sorted({w for theme in THEMES.values() for w in theme}) + FILLER
INDEX = {word: i for i, word in enumerate(VOCABULARY)}


def complaint():
    department = random.randrange(3)
    themes = list(THEMES.values())
    words = random.choices(FILLER, k=14) + random.choices(themes[department], k=3)
    words += random.choices(themes[random.randrange(3)], k=2)
    counts = torch.zeros(len(VOCABULARY))
    for word in words:
        counts[INDEX[word]] += 1
    return counts, department


def corpus(n):
    texts, departments = zip(*(complaint() for _ in range(n)), strict=True)
    return torch.stack(texts), torch.tensor(departments)


x, y = corpus(160)
x_test, y_test = corpus(600)
loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
model = nn.Sequential(
    nn.Linear(len(VOCABULARY), 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3)
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
criterion = nn.CrossEntropyLoss()
EPOCHS = 60
for epoch in range(EPOCHS):
    model.train()
    for words, department in loader:
        loss = criterion(model(words), department)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        test_loss = criterion(model(x_test), y_test).item()
    if epoch % 4 == 3:
        print(f"epoch {epoch + 1:2d}: train {loss.item():.4f}, test {test_loss:.4f}")
print(f"metric={test_loss:.5f}")
