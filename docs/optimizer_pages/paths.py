"""The paths in the pictures: three landscapes, and for each walker the rate that suits it best.

The search is the same for all and small, so that no rule owes its picture to tuning: on each
landscape every rate of one grid runs for the same number of steps. A rate at which the loss ever
exceeds that of the start is out; of the others the one is kept whose mean logarithm of the excess
loss over the run is lowest, which rewards arriving early and staying.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from optimizer_pages.families import Walker
from thalweg.landscapes import Landscape, ravine, rosenbrock, saddle
from thalweg.optim import OPTIMIZERS, RULES, RuleOptimizer, optimizer_class
from thalweg.optim.classes.sophia import CurvatureOptimizer

RATES = tuple(10 ** (k / 4) for k in range(-14, 5))
RENEW = 10  # steps from one look at the curvature to the next, for who looks at it
FLOOR = 1e-9  # of the excess at the start: below it one is as good as the other


@dataclass(frozen=True)
class Terrain:
    """A landscape as it is walked on and looked at.

    Attributes:
        title: Of the panel.
        landscape: Of two parameters.
        steps: How many are walked.
        view: The part that is shown: (low, high) for each coordinate.
    """

    title: str
    landscape: Landscape
    steps: int
    view: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Path:
    """Where a walker went with its best rate.

    Attributes:
        lr: The rate.
        points: The start and the point after each step.
        excess: The loss above the minimum at the end.
    """

    lr: float
    points: list[tuple[float, float]]
    excess: float


def terrains() -> dict[str, Terrain]:
    """The three landscapes by name."""
    return {
        "ravine": Terrain("Ravine (condition 25)", ravine(25.0), 40, ((-1.4, 1.6), (-1.2, 1.8))),
        "rosenbrock": Terrain("Rosenbrock", rosenbrock(), 150, ((-1.7, 1.7), (-0.7, 1.9))),
        "saddle": Terrain("Saddle", saddle(), 40, ((-1.9, 1.9), (-1.9, 1.9))),
    }


def best_path(walker: Walker, terrain: Terrain) -> Path:
    """The path at the rate of `RATES` that scores best; at the smallest if all are out."""
    runs = [(rate, run(walker, terrain, rate)) for rate in RATES]
    rate, points = min(runs, key=lambda one: score(terrain.landscape, one[1]))
    excess = float(terrain.landscape(points[-1])) - terrain.landscape.minimum
    return Path(rate, [(x, y) for x, y in points.tolist()], max(excess, 0.0))


def run(walker: Walker, terrain: Terrain, lr: float) -> Tensor:
    """The points of one run, of shape (steps + 1, 2); it ends where it stops being finite."""
    land = terrain.landscape
    p = torch.nn.Parameter(land.start.reshape(shape(walker.rule)).clone())
    optimizer = optimizer_of(walker.rule)([p], lr=lr, form="each", **walker.settings)
    points = [land.start]
    chance = torch.Generator().manual_seed(0)
    for step in range(terrain.steps):
        optimizer.zero_grad()
        loss = land(p.reshape(2))
        if isinstance(optimizer, CurvatureOptimizer) and step % RENEW == 0:
            optimizer.update_hessian(loss=loss, generator=chance)
        loss.backward()
        optimizer.step()
        points.append(p.detach().reshape(2).clone())
        if not bool(points[-1].isfinite().all()):
            break
    return torch.stack(points)


def score(landscape: Landscape, points: Tensor) -> float:
    """The mean logarithm of the excess loss against that of the start; infinite if it is out."""
    excess = landscape(points) - landscape.minimum
    shares = excess / excess[0]
    stays = bool((shares <= 1 + 1e-9).all())  # false for what is not a number, too
    return float(shares.clamp(min=FLOOR).log10().mean()) if stays else math.inf


def shape(name: str) -> tuple[int, ...]:
    """How the two coordinates are given: as a vector, or as a row to who takes matrices alone."""
    rule = optimizer_of(name).rule
    try:
        if rule.admit:
            rule.admit(torch.zeros(2), rule.settings())
    except ValueError:
        return (1, 2)
    return (2,)


@cache
def optimizer_of(name: str) -> type[RuleOptimizer]:
    """The optimizer of a rule alone, without wrappers; or the class, for what is no rule."""
    if name not in RULES:
        return OPTIMIZERS[name]
    base = OPTIMIZERS[name].__base__ if name in OPTIMIZERS else RuleOptimizer
    return optimizer_class(name, RULES[name], base=base or RuleOptimizer)
