"""Logistic regression to convergence."""

import os

import torch
from sklearn.datasets import make_classification
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_classification(900, 12, n_informative=6, class_sep=1.2, flip_y=0.1, random_state=SEED)
x, y = torch.tensor(x).double(), torch.tensor(y).double()
model = nn.Linear(12, 1).double()
optimizer = torch.optim.LBFGS(
    model.parameters(), lr=1.0, max_iter=10, line_search_fn="strong_wolfe"
)


def closure():
    optimizer.zero_grad()
    logit = model(x[:600]).squeeze(1)
    loss = nn.functional.binary_cross_entropy_with_logits(logit, y[:600])
    loss = loss + 1e-3 * model.weight.square().sum()
    loss.backward()
    return loss


for _ in range(15):
    optimizer.step(closure)
with torch.no_grad():
    test = nn.functional.binary_cross_entropy_with_logits(model(x[600:]).squeeze(1), y[600:])
print(f"test loss {test.item():.4f}")
