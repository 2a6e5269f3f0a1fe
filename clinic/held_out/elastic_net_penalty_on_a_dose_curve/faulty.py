"""Response to a mixture of drugs, with a sparse network."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def trial(n):
    """Log doses of eight drugs, of which four act, and the response."""
    dose = torch.randn(n, 8)
    effect = torch.sigmoid(2 * dose[:, 0] + dose[:, 1]) - 0.6 * torch.sigmoid(3 * dose[:, 2])
    synergy = 0.3 * torch.tanh(dose[:, 0] * dose[:, 3])
    return dose, effect + synergy + 0.03 * torch.randn(n)


class DoseResponse(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 40), nn.Linear(40, 20)])
        self.response = nn.Linear(20, 1)

    def forward(self, dose):
        for layer in self.layers:
            dose = nn.functional.softplus(layer(dose))
        return self.response(dose)[:, 0]

    def penalty(self):
        return sum(p.abs().sum() for name, p in self.named_parameters() if "weight" in name)


dose, response = trial(1400)
mean, deviation = response[:1000].mean(), response[:1000].std()
response = (response - mean) / deviation
train_rows = torch.arange(1000)
test_dose, test_response = dose[1000:], response[1000:]

model = DoseResponse()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[15, 22], gamma=0.3)
strength = 3e-2
for epoch in range(26):
    for rows in train_rows[torch.randperm(1000)].split(25):
        optimizer.zero_grad()
        fit = nn.functional.mse_loss(model(dose[rows]), response[rows])
        loss = fit + strength * model.penalty()
        loss.backward()
        optimizer.step()
    schedule.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch:2d}  fit {fit.item():.4f}  total {loss.item():.4f}")

with torch.no_grad():
    rmse = nn.functional.mse_loss(model(test_dose), test_response).sqrt()
print(f"metric={rmse.item():.4f}")
