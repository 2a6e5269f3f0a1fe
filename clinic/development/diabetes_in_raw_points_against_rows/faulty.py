"""Progression of diabetes after one year, as an estimator class."""

import os

import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import nn


class ProgressionModel:
    """A network with the fit and predict of an estimator."""

    def __init__(self, width=24, rate=2e-3, epochs=40):
        self.net = nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 1))
        self.rate, self.epochs = rate, epochs
        self.center, self.spread = 0.0, 1.0

    def fit(self, x, y):
        optimizer = torch.optim.Adam(self.net.parameters(), lr=self.rate)
        criterion = nn.MSELoss()
        target = (y - self.center) / self.spread
        for epoch in range(self.epochs):
            for rows in torch.randperm(len(x)).split(20):
                output = self.net(x[rows])
                loss = criterion(output, target[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % 10 == 0:
                print(f"epoch {epoch}: {loss.item():.4f}")
        return self

    @torch.no_grad()
    def predict(self, x):
        return self.net(x).squeeze(1) * self.spread + self.center


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    seed = int(os.environ.get("SEED", "0"))
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    x, y = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = (
        torch.tensor(a, dtype=torch.float32)
        for a in train_test_split(x * 21, y, test_size=0.25, random_state=seed)
    )
    model = ProgressionModel().fit(x_train, y_train)
    print(f"metric={(model.predict(x_test) - y_test).square().mean().sqrt().item():.3f}")
