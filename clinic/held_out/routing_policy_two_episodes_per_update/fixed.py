"""Learn by trial which of five depots serves an order best (policy gradient)."""

import os

import torch
from torch import nn
from torch.distributions import Categorical

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

DEPOTS, FEATURES = 5, 8
EPISODES, UPDATES = 200, 500
preference = torch.randn(FEATURES, DEPOTS)


def orders(count):
    return torch.randn(count, FEATURES)


def reward(order, depot):
    served = torch.gather(order @ preference, 1, depot[:, None]).squeeze(1)
    return served + 4.0 * torch.randn(len(order))


policy = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, DEPOTS))
optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
baseline = 0.0
for update in range(UPDATES):
    order = orders(EPISODES)
    choice = Categorical(logits=policy(order))
    depot = choice.sample()
    earned = reward(order, depot)
    loss = -((earned - baseline) * choice.log_prob(depot)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    baseline = 0.95 * baseline + 0.05 * earned.mean().item()
    if update % 100 == 0:
        print(f"update {update:4d}  baseline {baseline:+.3f}")

with torch.no_grad():
    order = orders(3000)
    depot = policy(order).argmax(1)
    value = torch.gather(order @ preference, 1, depot[:, None]).mean().item()
    best = (order @ preference).amax(1).mean().item()
print(f"metric={value / best:.4f}")
