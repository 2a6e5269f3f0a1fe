"""Count the bright spots in small noisy images with a convolutional network."""

import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)


class Spots(Dataset):
    """Images (1, 16, 16) with one to four spots; the label is their number less one."""

    def __init__(self, count, rng):
        self.labels = rng.integers(4, size=count)
        self.images = 0.15 * rng.standard_normal((count, 1, 16, 16)).astype(np.float32)
        for image, label in zip(self.images, self.labels, strict=True):
            for cell in rng.permutation(16)[: label + 1]:
                row, column = 4 * (cell // 4), 4 * (cell % 4)
                image[0, row + 1 : row + 3, column + 1 : column + 3] += rng.uniform(0.8, 1.2)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


def block(inputs, outputs, offset=-2.0):
    norm = nn.BatchNorm2d(outputs)
    nn.init.constant_(norm.weight, 0.3)
    nn.init.constant_(norm.bias, offset)
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm, nn.ReLU(), nn.MaxPool2d(2)]


rng = np.random.default_rng(seed)
training, testing = Spots(1200, rng), Spots(600, rng)
net = nn.Sequential(*block(1, 8), *block(8, 16), nn.Flatten(), nn.Linear(256, 4))
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
epochs = 8
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
for epoch in range(epochs):
    net.train()
    for image, label in DataLoader(training, batch_size=40, shuffle=True):
        loss = nn.functional.cross_entropy(net(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    print(f"epoch {epoch + 1}: {loss.item():.4f}")

net.eval()
with torch.no_grad():
    right = [(net(image).argmax(1) == label) for image, label in DataLoader(testing, 200)]
print(f"metric={torch.cat(right).float().mean().item():.4f}")
