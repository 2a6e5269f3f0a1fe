"""Register two exposures of a galaxy: find the shift and the gain between them."""

import os

import torch
import torch.nn.functional as F

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

SIZE = 48
axis = torch.linspace(-1, 1, SIZE)
rows, columns = torch.meshgrid(axis, axis, indexing="ij")
true_shift = torch.tensor([0.75, -0.6]) + 0.05 * torch.randn(2)


def galaxy(center):
    arms = torch.tensor([[0.0, 0.0], [0.07, 0.03], [-0.05, 0.05], [0.02, -0.08]])
    places = center + arms
    squares = (columns[..., None] - places[:, 0]) ** 2 + (rows[..., None] - places[:, 1]) ** 2
    return torch.exp(-squares / (2 * 0.05**2)).sum(-1)


def centroid(image):
    bright = image * (image > 0.3)
    return torch.stack([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()


start = torch.tensor([-0.4, 0.35])
reference = galaxy(start) + 0.02 * torch.randn(SIZE, SIZE)
exposure = 1.3 * galaxy(start + true_shift)
noisy = exposure + 0.02 * torch.randn(SIZE, SIZE)
used = torch.rand(SIZE, SIZE) < 0.7

shift = (centroid(noisy) - centroid(reference)).requires_grad_()
gain = torch.ones(1, requires_grad=True)


def predict():
    grid = torch.stack([columns - shift[0], rows - shift[1]], dim=-1)
    return gain * F.grid_sample(reference[None, None], grid[None], align_corners=True)[0, 0]


optimizer = torch.optim.Adam([shift, gain], lr=5e-3)
for step in range(300):
    loss = (predict() - noisy)[used].square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step}  loss {loss.item():.6f}  shift {shift.tolist()}")

with torch.no_grad():
    print(f"metric={(predict() - exposure)[~used].square().mean().sqrt().item():.5f}")
