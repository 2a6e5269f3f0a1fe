"""A generator learns where the data lie."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def real(n):
    return 2.0 + 0.6 * torch.randn(n, 1)


generator = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 1))
critic = nn.Sequential(nn.Linear(1, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1))
g_opt = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.9))
c_opt = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.9))
bce = nn.functional.binary_cross_entropy_with_logits
one, zero = torch.ones(128, 1), torch.zeros(128, 1)
for step in range(500):
    fake = generator(torch.randn(128, 4))
    c_loss = bce(critic(real(128)), one) + bce(critic(fake.detach()), zero)
    c_opt.zero_grad()
    c_loss.backward()
    c_opt.step()
    g_loss = bce(critic(generator(torch.randn(128, 4))), one)
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()

with torch.no_grad():
    made = generator(torch.randn(4000, 4))
    print(f"mean {made.mean():.2f} (2.00), deviation {made.std():.2f} (0.60)")
