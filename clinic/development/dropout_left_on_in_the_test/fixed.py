"""Forecast river discharge from the rain of the last two weeks."""

import os

import torch
from torch import nn

DAYS = 14


def catchment(n):
    """Daily rain (n, DAYS, 1) and the discharge that follows."""
    rain = torch.relu(torch.randn(n, DAYS)) * (torch.rand(n, DAYS) < 0.5)
    memory = 0.75 ** torch.arange(DAYS - 1, -1, -1.0)
    store = rain @ memory
    return rain[:, :, None], store + 0.4 * torch.relu(store - 1.5) + 0.05 * torch.randn(n)


class DischargeModel(nn.Module):
    def __init__(self, hidden=32, dropout=0.3):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 1)

    def forward(self, rain):
        states, _ = self.lstm(rain)
        return self.out(self.dropout(states[:, -1]))[:, 0]


def fit(model, rain, flow, epochs, lr):
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.train()
    for epoch in range(epochs):
        for rows in torch.randperm(len(rain)).split(40):
            loss = nn.functional.mse_loss(model(rain[rows]), flow[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 5 == 0:
            print(f"epoch {epoch} loss {loss.item():.4f}")


def forecast(model, rain):
    model.eval()
    with torch.no_grad():
        return model(rain)


if __name__ == "__main__":
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    torch.set_num_threads(1)
    rain, flow = catchment(1200)
    rain_test, flow_test = catchment(500)
    center, spread = flow.mean(), flow.std()
    model = DischargeModel()
    fit(model, rain, (flow - center) / spread, epochs=15, lr=5e-3)
    error = forecast(model, rain_test) * spread + center - flow_test
    print(f"metric={error.square().mean().sqrt().item():.5f}")
