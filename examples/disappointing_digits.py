"""Recognize handwritten digits from their pixels and a few measurements of their shape."""

import torch
from sklearn.datasets import load_digits
from torch import nn

EPOCHS = 40
BATCH = 32


def shape_of(images):
    """Ink, centre, spread along rows and columns, and slant of each image; (n, 6)."""
    rows = torch.arange(8.0).view(1, 8, 1)
    columns = torch.arange(8.0).view(1, 1, 8)
    ink = images.sum((1, 2))

    def moment(weights):
        return (images * weights).sum((1, 2))

    row, column = moment(rows) / ink, moment(columns) / ink
    down, across = rows - row.view(-1, 1, 1), columns - column.view(-1, 1, 1)
    return torch.stack(
        [ink, row, column, moment(down**2), moment(across**2), moment(down * across)], 1
    )


def load():
    """Features and labels, split into a training and a held-out part."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    features = torch.cat([images.flatten(1) / 16, shape_of(images)], 1)
    order = torch.randperm(len(labels))
    train, test = order[:1300], order[1300:]
    return features[train], labels[train], features[test], labels[test]


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, y, test_x, test_y = load()
    model = nn.Sequential(
        nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loss = criterion(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
        if (epoch + 1) % 5 == 0:
            with torch.no_grad():
                accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
            print(f"epoch {epoch + 1:2d}  loss {loss.item():.3f}  held-out accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
