"""More, Garbow and Hillstrom's sums of squares: whose minima are found, in how many evaluations.

A minimum counts where its published value is reached to the digits published, so that a point of
the valley's floor where the gradient happens to be small does not.
"""

import torch
from section import Aim, Section

from solving.minimizers import OURS, let_run, taking_part
from solving.peers import absent
from solving.watched import Problem, Watched
from thalweg.landscapes.more_garbow_hillstrom import PROBLEMS

MOST = 2000
WORDS = f"""Evaluations until the loss is that of a published minimum to its digits; "–" where that
does not come within {MOST:,}. All 35 problems of the paper from their standard starts. Ours has its
defaults; others are mended, and scipy's have no stopping rule."""


class Reaching(Watched):
    """Watched for its value."""

    def __init__(self, name, known):
        self.known = known
        super().__init__(Problem(name, known.start.numpy(), self.evaluated), MOST)

    def evaluated(self, x):
        with torch.enable_grad():  # also while another library differentiates it
            x = torch.from_numpy(x).requires_grad_()
            value = self.known.loss(x)
            (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), gradient.numpy()

    def is_solved(self, value, gradient):
        return self.known.has_minimum(value)


def measure(scale):
    runs = {n: run for n, run in taking_part(scale.peers).items() if "as it comes" not in n}
    section = Section("More, Garbow and Hillstrom's problems", WORDS, ["", *runs])
    names = list(PROBLEMS)[:: 6 if scale.quick else 1]
    seen = {name: {n: reached(name, run) for n, run in runs.items()} for name in names}
    section.rows += [
        [name, *(str(k or "–") for k in found.values())] for name, found in seen.items()
    ]
    section.rows.append(["solved", *(str(sum(map(bool, of(n, seen)))) for n in runs)])
    common = [found for found in seen.values() if all(found.values())]
    section.rows.append(
        [
            f"on the {len(common)} that all solve",
            *(f"{sum(found[n] for found in common):,}" for n in runs),
        ]
    )
    section.notes += absent([name for name in ("scipy", "torchmin") if name in scale.peers])
    section.aims.append(lost(seen))
    return section


def reached(name, run):
    watched = Reaching(name, PROBLEMS[name])
    let_run(run, watched)
    return watched.solved_at


def of(name, seen):
    return [found[name] for found in seen.values()]


def lost(seen):
    """The aim: to solve whatever any of scipy's solves."""
    words = "problems that one of scipy's solves and ours does not"
    missed = [name for name, found in seen.items() if not found[OURS] and by_scipy(found)]
    asked = any("scipy" in n for found in seen.values() for n in found)
    return Aim(words, len(missed) if asked else None, 0, shown=", ".join(missed) or "none")


def by_scipy(found):
    return any(k for n, k in found.items() if n.startswith("scipy"))
