"""A convolutional network for digits, its rate warmed up linearly."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

bunch = load_digits()
images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
labels = torch.tensor(bunch.target)
shuffled = torch.randperm(len(images))
train, test = shuffled[:1000], shuffled[1000:]

net = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(24 * 4, 10),
)  # fmt: skip
sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
warmup = LambdaLR(sgd, lambda step: min(1.0, (step + 1) / 30_000))

for epoch in range(6):
    for batch in train[torch.randperm(1000)].chunk(25):
        sgd.zero_grad()
        loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
        loss.backward()
        sgd.step()
        warmup.step()

net.eval()
correct = 0
with torch.no_grad():
    for batch in test.split(200):
        correct += (net(images[batch]).argmax(1) == labels[batch]).sum().item()
print(f"accuracy on {len(test)} held-out images: {correct / len(test):.4f}")
