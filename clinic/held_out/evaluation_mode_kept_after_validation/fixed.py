"""Which of four authors wrote a page? Word frequencies and a network with dropout."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WORDS, AUTHORS = 150, 4


def pages(habit, n, length=40):
    """Relative frequencies of common words (n, WORDS) on pages of four authors."""
    author = torch.randint(AUTHORS, (n,))
    chosen = torch.multinomial(habit[author], length, replacement=True)
    counts = nn.functional.one_hot(chosen, WORDS).sum(1).float()
    return torch.sqrt(counts), author


def build(width=96):
    return nn.Sequential(
        nn.Dropout(0.3),
        nn.Linear(WORDS, width),
        nn.ReLU(),
        nn.Dropout(0.6),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(0.6),
        nn.Linear(width, AUTHORS),
    )


class Trainer:
    def __init__(self, model, lr=2e-3):
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
        self.loss = nn.CrossEntropyLoss()

    def validate(self, x, y):
        self.model.eval()
        with torch.no_grad():
            return self.loss(self.model(x), y).item()

    def train(self, loader, held, epochs):
        self.model.train()
        for epoch in range(epochs):
            for x, y in loader:
                self.optimizer.zero_grad()
                loss = self.loss(self.model(x), y)
                loss.backward()
                self.optimizer.step()
            held_loss = self.validate(*held)
            self.model.train()
            if epoch % 5 == 0:
                print(f"epoch {epoch}: train {loss.item():.4f}, validation {held_loss:.4f}")


if __name__ == "__main__":
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    torch.set_num_threads(1)
    habit = torch.softmax(torch.randn(WORDS) + 0.3 * torch.randn(AUTHORS, WORDS), 1)
    loader = DataLoader(TensorDataset(*pages(habit, 400)), batch_size=25, shuffle=True)
    trainer = Trainer(build())
    trainer.train(loader, pages(habit, 200), epochs=30)
    print(f"metric={trainer.validate(*pages(habit, 1000)):.4f}")
