"""Negative curvature proved: in how many products, and whether every bound holds.

Nobody else states a bound. At four stages of training a dense spectrum is at hand, against which
each statement is held: that an eigenvalue lies within `error` of each value found, that none lies
below `lower` or above `upper`, that the likely errors hold, and that what is called negative is.
The spectrum itself is known but for its rounding, taken as sqrt(n) units of |A|.
"""

import statistics
from dataclasses import dataclass

import torch
from section import Aim, Section

from curving.networks import STAGES
from curving.reference import small_hessian
from thalweg.curvature import Matrix
from thalweg.linalg import lanczos, negative_curvature

SEEDS = 10
LENGTHS = (10, 20, 30, 50, 75, 100)
WORDS = f"""The same net after 0 to 1,000 steps of Adam, {SEEDS} random starts each. "Certified"
is the number of products after which `negative_curvature` stopped with a proof: median and
worst. The statements are those of runs of 10 to 100 products: an eigenvalue within `error` of
each of the five largest and smallest values; within `likely_error`; none beyond `lower` and
`upper`."""


@dataclass
class Held:
    """How many statements were made, and how many were wrong."""

    made: int = 0
    wrong: int = 0

    def note(self, holds):
        self.made += 1
        self.wrong += not holds


def measure(scale):
    section = Section("Certificates of negative curvature", WORDS, HEAD)
    seeds = range(3 if scale.quick else SEEDS)
    proved, likely, outer, signs, slowest = Held(), Held(), Held(), Held(), 0
    for stage in STAGES[:2] if scale.quick else STAGES:
        dense, spectrum = small_hessian(stage)
        taken = [certified(dense, seed, signs) for seed in seeds]
        for seed in seeds:
            hold_to(dense, spectrum, seed, proved, likely, outer)
        slowest = max(slowest, statistics.median(taken))
        section.rows.append(row(stage, spectrum, taken))
    section.notes += [
        f"{name}: {held.made - held.wrong:,} of {held.made:,} hold"
        for name, held in (
            ("an eigenvalue within `error`", proved),
            ("an eigenvalue within `likely_error`, which is not proved", likely),
            ("none beyond `lower` and `upper`", outer),
            ("negative where it is called so", signs),
        )
    ]
    section.aims += [
        Aim("certified in at most 30 products at every stage (median)", slowest, 30),
        Aim("proved bounds that do not hold: none", proved.wrong + outer.wrong + signs.wrong, 0),
    ]
    return section


HEAD = ["after steps", "largest", "smallest", "negative", "certified, median", "worst"]


def row(stage, spectrum, taken):
    negative = int((spectrum < 0).sum())
    ends = [f"{float(spectrum[-1]):.3g}", f"{float(spectrum[0]):.3g}"]
    return [f"{stage:,}", *ends, str(negative), f"{statistics.median(taken):.0f}", str(max(taken))]


def certified(dense, seed, signs):
    """Products until the proof."""
    found = negative_curvature(Matrix(dense), seed=seed)
    v = found.smallest.vector
    signs.note(found.sign == "negative" and float(v @ (dense @ v)) < 0)
    return found.products


def hold_to(dense, spectrum, seed, proved, likely, outer):
    """Hold what runs of fixed lengths say to the dense spectrum, as far as that is known."""
    doubt = len(spectrum) ** 0.5 * torch.finfo(spectrum.dtype).eps * float(spectrum.abs().max())
    for length in LENGTHS:
        found = lanczos(Matrix(dense), k=5, tol=1e-15, max_products=length, seed=seed)
        for pair in (*found.top, *found.bottom):
            distance = float((spectrum - pair.value).abs().min()) - doubt
            proved.note(distance <= pair.error)
            likely.note(distance <= pair.likely_error)
        low, high = float(spectrum[0]) + doubt, float(spectrum[-1]) - doubt
        outer.note(found.lower <= low and high <= found.upper)
