"""Sort the records of a plant into normal operation and six disturbances."""

import os

import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn

KINDS = 7
SHARE = torch.tensor([0.88] + [0.02] * 6)


def records(n, share):
    """Two sensors over 32 steps, (n, 2, 32), and the kind of each record."""
    kind = torch.multinomial(share, n, replacement=True)
    t = torch.linspace(0, 1, 32)
    x = torch.randn(n, 2, 32)
    strength = 0.7 + 0.4 * torch.rand(n, 1)
    patterns = [
        torch.stack([0 * t, 0 * t]),
        torch.stack([1.5 * t, 0 * t]),
        torch.stack([0 * t, 1.5 * t]),
        torch.stack([torch.sin(20 * t), 0 * t]),
        torch.stack([0 * t, torch.sin(20 * t)]),
        torch.stack([(t > 0.5).float(), (t > 0.5).float()]),
        torch.stack([1 - 1.5 * t, 1 - 1.5 * t]),
    ]
    return x + strength[:, :, None] * torch.stack(patterns)[kind], kind


def make_net():
    return nn.Sequential(
        nn.Conv1d(2, 16, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool1d(4),
        nn.Flatten(),
        nn.Linear(16 * 8, 32),
        nn.ReLU(),
        nn.Linear(32, KINDS),
    )


def train(net, x, kind, epochs=6):
    criterion = nn.CrossEntropyLoss(weight=1 / (SHARE * KINDS))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for epoch in range(epochs):
        net.train()
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss = criterion(net(x[rows]), kind[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.4f}")


def evaluate(net, x, kind):
    net.eval()
    with torch.no_grad():
        return balanced_accuracy_score(kind.numpy(), net(x).argmax(1).numpy())


if __name__ == "__main__":
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    torch.set_num_threads(1)
    x, kind = records(3000, SHARE)
    x_test, kind_test = records(1400, torch.ones(KINDS))
    net = make_net()
    train(net, x, kind)
    print(f"metric={evaluate(net, x_test, kind_test):.4f}")
