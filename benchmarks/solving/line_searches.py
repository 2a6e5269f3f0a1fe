"""More and Thuente's 24 published cases: six lines, each from four first steps.

A search is handed the case's own constants, and fails if the step that it returns does not satisfy
the conditions that it promises there, or if it returns none.
"""

from dataclasses import dataclass

import torch
from section import Aim, Section

from solving.peers import absent, has
from thalweg.landscapes.lines import FIRST_STEPS, PUBLISHED_LINES
from thalweg.minimize.searches import HagerZhang, StrongWolfe
from thalweg.minimize.searches.conditions import approximate_wolfe, strong_wolfe, wolfe
from thalweg.minimize.searches.trials import Point

WORDS = """Evaluations of value and slope over four first steps from 1e-3 to 1e3 of six lines, with
each line's own constants. A failure is a step that does not satisfy the strong Wolfe conditions; of
Hager and Zhang's search, the Wolfe conditions or the approximate ones, which is what it is for."""
PUBLISHED = 179


class Line:
    """A line that counts."""

    eps = torch.finfo(torch.float64).eps

    def __init__(self, published):
        self.published, self.taken = published, 0
        self.start = Point(0.0, *published.phi(0.0))

    def __call__(self, alpha):
        self.taken += 1
        return self.published.phi(float(alpha))

    def strong_wolfe(self, alpha):
        c1, c2 = self.published.decrease, self.published.curvature
        return strong_wolfe(self._at(alpha), self.start, c1, c2)

    def any_wolfe(self, alpha):
        c1, c2, point = self.published.decrease, self.published.curvature, self._at(alpha)
        return wolfe(point, self.start, c1, c2) or approximate_wolfe(point, self.start, c1, c2)

    def _at(self, alpha):
        return Point(alpha, *self.published.phi(alpha))


def ours(kind):
    def search(line, first):
        made = kind(line.published.decrease, line.published.curvature)
        return made.along(line, (line.start.value, line.start.slope), first).alpha

    return search


def scipys(line, first):
    """The search of its L-BFGS-B, BFGS and CG, from a given first step."""
    from scipy.optimize._dcsrch import DCSRCH

    slope = 0.0

    def value(alpha):
        nonlocal slope
        found, slope = line(alpha)
        return found

    constants = (line.published.decrease, line.published.curvature, 1e-14, 0.0, 1e100)
    search = DCSRCH(value, lambda alpha: slope, *constants)
    return search(first, line.start.value, line.start.slope, maxiter=100)[0]


def torchs(line, first):
    """The search of its L-BFGS, on a line in one dimension."""
    from torch.optim.lbfgs import _strong_wolfe

    def objective(x, t, d):
        value, slope = line(t)
        return value, torch.tensor([slope], dtype=torch.float64)

    one, slope = torch.ones(1, dtype=torch.float64), line.start.slope
    gradient = slope * one
    constants = {"c1": line.published.decrease, "c2": line.published.curvature}
    start = line.start.value
    return float(
        _strong_wolfe(objective, 0 * one, first, one, start, gradient, slope, **constants)[2]
    )


SEARCHES = {
    "thalweg StrongWolfe": (ours(StrongWolfe), Line.strong_wolfe),
    "thalweg HagerZhang": (ours(HagerZhang), Line.any_wolfe),
    "scipy DCSRCH": (scipys, Line.strong_wolfe),
    "torch _strong_wolfe": (torchs, Line.strong_wolfe),
}


@dataclass
class Tally:
    """Evaluations of each line, and the cases that failed."""

    counts: dict
    failures: list

    @property
    def total(self):
        return sum(self.counts.values())


def measure(scale):
    names = [name for name in SEARCHES if takes_part(name, scale.peers)]
    section = Section("Line searches", WORDS, ["", *PUBLISHED_LINES, "in all", "failures"])
    tallies = {name: tally(*SEARCHES[name]) for name in names}
    published = [sum(line.evaluations) for line in PUBLISHED_LINES.values()]
    section.rows.append(["published", *map(str, published), str(sum(published)), "0"])
    section.rows += [row(name, found) for name, found in tallies.items()]
    for name, found in tallies.items():
        section.notes += [f"{name} fails: {case}" for case in found.failures]
    section.notes += absent([name for name in ("scipy",) if name in scale.peers])
    mine = tallies["thalweg StrongWolfe"]
    section.aims += [
        Aim("StrongWolfe: evaluations", mine.total, PUBLISHED),
        Aim("StrongWolfe: failures", len(mine.failures), 0),
        Aim("HagerZhang: failures", len(tallies["thalweg HagerZhang"].failures), 0),
    ]
    return section


def takes_part(name, peers):
    library = name.split()[0]
    return library == "thalweg" or (library in peers and has(library))


def tally(search, holds):
    found = Tally(dict.fromkeys(PUBLISHED_LINES, 0), [])
    for name, published in PUBLISHED_LINES.items():
        for first in FIRST_STEPS:
            line = Line(published)
            alpha = search(line, first)
            found.counts[name] += line.taken
            if alpha is None or not alpha > 0 or not holds(line, alpha):
                found.failures.append(f"{name} from {first:g}, at {alpha or 0:.4g}")
    return found


def row(name, found):
    return [name, *map(str, found.counts.values()), str(found.total), str(len(found.failures))]
