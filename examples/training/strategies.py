"""Strategies of training: a curriculum, layer by layer, warm restarts with snapshots.

python examples/training/strategies.py --picture strategies.svg
"""

import argparse
from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy, nll_loss
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from thalweg.training.strategies import (
    CurriculumBatches,
    Snapshots,
    cycle_ends,
    greedy_stages,
    linear_pacing,
)

DIGITS = load_digits()
X, Y = torch.tensor(DIGITS.data, dtype=torch.float32) / 16, torch.tensor(DIGITS.target)
ORDER = torch.randperm(len(Y), generator=torch.Generator().manual_seed(0))
TRAIN, HELD_OUT = ORDER[:1024], ORDER[1024:]


def loss_on(model, rows):
    with torch.no_grad():
        return cross_entropy(model(X[rows]), Y[rows]).item()


def step(model, optimizer, rows):
    optimizer.zero_grad()
    cross_entropy(model(X[rows]), Y[rows]).backward()
    optimizer.step()


def curriculum(order, seed, n=200, d=50):
    """Degrees between a perceptron after one pass and the teacher behind its labels."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    teacher, x = draw(d), draw(n, d)
    margin = x @ teacher
    y = (margin + margin.std() * draw(n) / 2).sign()
    difficulty = {"easy first": -margin * y, "shuffled": draw(n), "difficult first": margin * y}
    w = torch.zeros(d)
    for (i,) in CurriculumBatches(difficulty[order], 1, linear_pacing(0.1, n), seed=seed):
        w = w + y[i] * x[i] if y[i] * (x[i] @ w) <= 0 else w
    return torch.rad2deg(torch.acos(w @ teacher / (w.norm() * teacher.norm()))).item()


def descend(model, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(steps):
        step(model, optimizer, TRAIN[torch.randint(len(TRAIN), (64,))])


def sigmoids(pretrained):
    """The loss of five sigmoid layers after 700 steps, 500 of them layer by layer or not."""
    torch.manual_seed(0)
    sizes = [64, 32, 32, 32, 32, 32]
    layers = [nn.Sequential(nn.Linear(a, b), nn.Sigmoid()) for a, b in pairwise(sizes)]
    if pretrained:
        for model in greedy_stages(layers, head=lambda k: nn.Linear(32, 10)):
            descend(model, 100)
    whole = nn.Sequential(*layers, nn.Linear(32, 10))
    descend(whole, 200 if pretrained else 700)
    return loss_on(whole, TRAIN)


def restarts(first=60, cycles=4):
    """Held-out cross-entropy of the snapshots at the cycles' ends: on average, and together."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    schedule = CosineAnnealingWarmRestarts(optimizer, first)
    snapshots = Snapshots(optimizer, model, at=cycle_ends(first, 1, cycles))
    for _ in range(first * cycles):
        step(model, optimizer, TRAIN[torch.randint(256, (32,))])
        schedule.step()
    each = snapshots.outputs(X[HELD_OUT]).log_softmax(-1)
    alone = torch.stack([nll_loss(one, Y[HELD_OUT]) for one in each]).mean()
    together = nll_loss(each.exp().mean(0).log(), Y[HELD_OUT])
    return alone.item(), together.item()


def picture(angles):
    """The angle by the order of the examples: a dot for each seed, a bar for the mean."""
    import altair as alt

    values = [{"order": order, "angle": a} for order, found in angles.items() for a in found]
    y = alt.Y("order:N", sort=[*angles], title=None)
    base = alt.Chart(alt.Data(values=values)).encode(y=y)
    dots = base.mark_circle(size=50, color="#3b8fc4", opacity=0.7).encode(
        x=alt.X("angle:Q", title="angle to the teacher after one pass, degrees")
    )
    means = base.mark_tick(thickness=3, size=20, color="#d9702b").encode(x="mean(angle):Q")
    return (
        (dots + means)
        .properties(width=520, height=130)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(
            labelColor="#78838d",
            titleColor="#78838d",
            titleFontWeight="normal",
            gridColor="#9aa4ad",
            gridOpacity=0.35,
            domain=False,
        )
        .configure_axisY(minExtent=95)  # room for labels in a wider font
        .configure_view(stroke=None)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the angles, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("perceptron, one pass: angle to the teacher")
    orders = ("easy first", "shuffled", "difficult first")
    angles = {order: [curriculum(order, seed) for seed in range(10)] for order in orders}
    for order, found in angles.items():
        print(f"  {order:<24} {sum(found) / 10:6.1f} degrees")
    print("five sigmoid layers, 700 steps: training loss")
    for name, pretrained in (("from scratch", False), ("layer by layer first", True)):
        print(f"  {name:<24} {sigmoids(pretrained):6.3f}")
    alone, together = restarts()
    print("snapshots at four warm restarts: held-out cross-entropy")
    print(f"  {'each alone, on average':<24} {alone:6.3f}\n  {'all together':<24} {together:6.3f}")
    if options.picture:
        picture(angles).save(options.picture)


if __name__ == "__main__":
    main()
