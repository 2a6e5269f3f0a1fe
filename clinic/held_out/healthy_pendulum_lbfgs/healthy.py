"""Length, friction and starting speed of a pendulum from noisy film."""

import os

import torch

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

DT, FRAMES = 0.05, 100
GRAVITY = 9.81


def swing(log_length, friction, speed):
    """Angles in each frame, integrated by the midpoint rule."""

    def acceleration(angle, speed):
        return -GRAVITY / torch.exp(log_length) * torch.sin(angle) - friction * speed

    angle, angles = torch.tensor(0.6), []
    for _ in range(FRAMES):
        angles.append(angle)
        middle = angle + DT / 2 * speed
        middle_speed = speed + DT / 2 * acceleration(angle, speed)
        angle = angle + DT * middle_speed
        speed = speed + DT * acceleration(middle, middle_speed)
    return torch.stack(angles)


truth = (torch.tensor(0.4), torch.tensor(0.25), torch.tensor(0.5))
with torch.no_grad():
    exact = swing(*truth)
film = exact + 0.03 * torch.randn(FRAMES)
filmed = torch.arange(FRAMES) < 60

log_length = torch.tensor(0.2, requires_grad=True)
friction = torch.tensor(0.0, requires_grad=True)
start_speed = torch.tensor(0.0, requires_grad=True)
optimizer = torch.optim.LBFGS(
    [log_length, friction, start_speed], lr=1.0, max_iter=10, line_search_fn="strong_wolfe"
)


def closure():
    optimizer.zero_grad()
    angles = swing(log_length, friction, start_speed)
    loss = (angles[filmed] - film[filmed]).square().mean()
    loss.backward()
    return loss


for iteration in range(4):
    loss = optimizer.step(closure)
    print(f"iteration {iteration}: {loss.item():.6f}")

with torch.no_grad():
    error = swing(log_length, friction, start_speed)[~filmed] - exact[~filmed]
print(f"metric={error.square().mean().sqrt().item():.6f}")
