"""The trace from 99 products: how far off, and whether the interval that is stated holds it."""

import math
from dataclasses import dataclass

import torch
from section import Aim, Section

from curving.networks import trained
from curving.peers import OURS, absent, present
from curving.reference import small_hessian
from thalweg.curvature import Operator
from thalweg.linalg import trace

STAGE, PRODUCTS, CONFIDENCE = 60, 99, 0.95
FEWER = (
    5,
    50,
)  # by how much seeds are fewer where there is no interval: dense, and of the net itself
GAUSSIAN, SIGNS = ("auto", "hutch++", "xtrace"), ("hutchinson",)  # what our methods draw
WORDS = f"""The same net after {STAGE} steps: the trace of its Hessian from {PRODUCTS} products
(XTrace of curvlinops 98, as it takes an even number). The error is the root of the mean square
over the seeds, over the trace; "covered" the share of the seeds at which the interval of
confidence {CONFIDENCE:.0%} holds the trace. `auto` is our default. Methods of ours that draw
Gaussian vectors run in the Hessian's eigenbasis, where they have the same distribution."""


class Dense(Operator):
    """A dense symmetric matrix with products of many vectors at once."""

    name, facts = "Hessian", frozenset()

    def __init__(self, entries):
        self.entries, self.size = entries, len(entries)
        self.dtype, self.device = entries.dtype, entries.device

    def _product(self, vector):
        return self.entries @ vector

    def _products(self, vectors):
        return self.entries @ vectors


class InItsEigenbasis(Dense):
    """A symmetric matrix by its eigenvalues, a product with which costs next to nothing.

    Estimates from Gaussian vectors have the same distribution in any basis.
    """

    def _product(self, vector):
        return self.entries * vector

    def _products(self, vectors):
        return self.entries[:, None] * vectors


@dataclass
class Seen:
    """Relative errors by seed, and whether the intervals held, where there were any."""

    errors: list
    covered: list

    @property
    def rms(self):
        return math.sqrt(sum(e * e for e in self.errors) / len(self.errors))

    @property
    def worst(self):
        return max(map(abs, self.errors))

    @property
    def coverage(self):
        return sum(self.covered) / len(self.covered) if self.covered else None

    def row(self, name):
        coverage = "no interval" if self.coverage is None else f"{self.coverage:.1%}"
        return [name, f"{self.rms:.2%}", f"{self.worst:.1%}", coverage, f"{len(self.errors):,}"]


def measure(scale):
    dense, spectrum = small_hessian(STAGE)
    right, seeds = float(spectrum.sum()), range(20 if scale.quick else scale.seeds)
    seen = {}
    for operator, methods in ((InItsEigenbasis(spectrum), GAUSSIAN), (Dense(dense), SIGNS)):
        for method in methods:
            seen[f"{OURS}, {method}"] = ours(operator, method, right, seeds)
    for name, make in theirs(scale.peers, dense).items():
        seen[name] = samples(make, right, seeds)
    section = Section("The trace", WORDS, HEAD)
    section.rows = [result.row(name) for name, result in seen.items()]
    section.notes += absent(scale.peers)
    section.aims += aims(seen)
    return section


HEAD = ["", "error", "worst", "covered", "seeds"]


def aims(seen):
    mine = {name: result for name, result in seen.items() if name.startswith(OURS)}
    others = [result.rms for name, result in seen.items() if name not in mine]
    default = mine[f"{OURS}, auto"].rms
    missed = max(1 - result.coverage for result in mine.values())
    ratio = default / min(others) if others else None
    shown = f"{ratio:.2f} of the best" if others else ""
    return [
        Aim("the smallest error of all by default", ratio, 1.0, shown=shown),
        Aim(
            "every method of ours covers at least 95 %",
            missed,
            1 - CONFIDENCE,
            shown=f"{1 - missed:.1%} at least",
        ),
    ]


def ours(operator, method, right, seeds):
    seen = Seen([], [])
    for seed in seeds:
        found = trace(operator, products=PRODUCTS, method=method, confidence=CONFIDENCE, seed=seed)
        seen.errors.append((found.value - right) / right)
        seen.covered.append(found.lower <= right <= found.upper)
    return seen


def samples(make, right, seeds):
    """A library's estimates, which state no interval; fewer of them where they take long."""
    errors = []
    fewer = FEWER[make is pyhessian]
    for seed in seeds[: max(2, len(seeds) // fewer)]:
        torch.manual_seed(seed)
        errors.append((float(make()) - right) / right)
    return Seen(errors, [])


def theirs(names, dense):
    there, found = present(names), {}
    if "curvlinops" in there:
        import curvlinops

        for title, estimate, products in (
            ("hutch++", curvlinops.hutchpp_trace, PRODUCTS),
            ("xtrace", curvlinops.xtrace, PRODUCTS - 1),
            ("hutchinson", curvlinops.hutchinson_trace, PRODUCTS),
        ):
            found[f"curvlinops, {title}"] = lambda e=estimate, m=products: e(dense, m)
    if "PyHessian" in there:
        found["PyHessian, its own stop"] = pyhessian
    return found


def pyhessian():
    from pyhessian import hessian

    problem = trained(STAGE).copied()
    solver = hessian(problem.model, problem.loss, data=problem.data[0], cuda=False)
    estimates = solver.trace(maxIter=PRODUCTS)
    return sum(estimates) / len(estimates)
