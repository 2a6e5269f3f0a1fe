"""Classify forest plots, with smoothed labels and averaged weights."""

import os

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

X, y = make_classification(
    3000,
    n_features=24,
    n_informative=8,
    n_redundant=4,
    n_classes=5,
    n_clusters_per_class=1,
    class_sep=1.5,
    flip_y=0.03,
    random_state=SEED,
)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y)
train, test = torch.arange(2000), torch.arange(2000, 3000)


def block(width_in, width_out):
    return nn.Sequential(nn.Linear(width_in, width_out), nn.LayerNorm(width_out), nn.GELU())


model = nn.Sequential(block(24, 64), block(64, 64), nn.Linear(64, 5))
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.98))
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
EPOCHS, ACCUMULATE = 15, 2
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
for epoch in range(EPOCHS):
    model.train()
    for i, rows in enumerate(train[torch.randperm(2000)].split(40)):
        loss = criterion(model(X[rows]), y[rows])
        (loss / ACCUMULATE).backward()
        if i % ACCUMULATE == ACCUMULATE - 1:
            optimizer.step()
            optimizer.zero_grad()
            average.update_parameters(model)
    schedule.step()
    if epoch % 3 == 0:
        print(f"epoch {epoch:2d} loss {loss.item():.4f}")

average.eval()
with torch.no_grad():
    accuracy = (average(X[test]).argmax(1) == y[test]).float().mean().item()
print(f"metric={accuracy:.4f}")
