"""The problem by which scipy's own tests hold its minimizers to their counts.

Berger, Della Pietra & Della Pietra, *A maximum entropy approach to natural language processing*,
Computational Linguistics 22 (1996), give as an example a word with five translations, of which
certain shares are known: f(x) = log(sum of exp(F x)) - k'x, with a row of F for each translation
and the shares in k.
"""

from functools import partial

import numpy as np
from section import Aim, Section

from solving.minimizers import let_run, scipy, thalweg
from solving.peers import absent, has
from solving.watched import Problem, Watched

FEATURES = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0], [1, 0, 0]], dtype=float)
SHARES = np.array([1.0, 0.3, 0.5])
SMALL = 1e-5  # the gradient at which scipy's stop by default
MOST = 1000
WORDS = f"""Evaluations from zero until the largest entry of the gradient is at most {SMALL:g}: of
the loss with its gradient. scipy asks for the two apart; its tests hold it to so many of each."""

# Ours, scipy's method, and its losses and gradients by scipy's tests.
ROWS = {
    "conjugate gradients": ("polak-ribiere+", "CG", (9, 7)),
    "BFGS": ("bfgs", "BFGS", (10, 8)),
    "L-BFGS": ("l-bfgs", "L-BFGS-B", (7, 5)),
}


def function(x):
    scores = FEATURES @ x
    highest = scores.max()
    weights = np.exp(scores - highest)
    value = np.log(weights.sum()) + highest - SHARES @ x
    return float(value), FEATURES.T @ (weights / weights.sum()) - SHARES


class Flat(Watched):
    """Watched for a gradient of scipy's default tolerance."""

    def __init__(self):
        super().__init__(Problem("maxent", np.zeros(3), function), MOST)

    def is_solved(self, value, gradient):
        return np.abs(gradient).max() <= SMALL


def measure(scale):
    head = ["", "thalweg", "scipy here", "scipy's tests: losses", "gradients"]
    section = Section("scipy's regression counts", WORDS, head)
    for name, (direction, method, published) in ROWS.items():
        mine = taken(partial(thalweg, direction=direction))
        theirs = taken(partial(scipy, method=method)) if has("scipy") else "–"
        section.rows.append([name, str(mine), str(theirs), *map(str, published)])
        for what, most in zip(("losses", "gradients"), published, strict=True):
            section.aims.append(Aim(f"{name}: {what}", mine, most))
    section.notes += absent(["scipy"] if "scipy" in scale.peers else [])
    return section


def taken(run):
    watched = Flat()
    let_run(run, watched)
    return watched.solved_at
