"""Targets do not belong to their inputs.

What it is
    Inputs that were shuffled, sorted or filtered without their targets, an index that is off by
    one, labels of another file: the pairs are wrong although each half is right. A large network
    learns them by heart and knows nothing; a small one learns nothing. A share of wrong labels does
    the same in part.

How it is measured
    Up to 800 training examples, as they enter the network, with their targets: what the nearest
    examples, or ridge regression, tell of a target that they were not given, against the same
    targets dealt out at random. No more than chance (p above 0.05) raises the suspicion, if what
    the script evaluates is at chance as well. Of labels that tell something, the share that at
    least four of the five nearest examples contradict in one voice: above 8 % counts (a tenth of
    labels changed at random gives 9 %, a fifth 15 %).

When not to trust it
    Parity, or a pattern that may be anywhere in a sequence, is seen by neither test; a network that
    learns it is the better witness, and then nothing is suspected. Classes that overlap contradict
    each other at their border.

How it is proved
    For labels that tell nothing: training on permuted targets is no worse. For a share of wrong
    labels: leaving out the examples of the highest loss improves what the script evaluates.

References
    Zhang et al., Understanding deep learning requires rethinking generalization (2017); Northcutt,
    Jiang & Chuang, Confident learning (2021); Shen & Sanghavi (2019); Cover & Hart (1967).
"""

from __future__ import annotations

import math

from thalweg.interventions import PermutedTargets, TrimmedLoss
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown
from thalweg.recorder.recording import sort_of

CODE = "mislabeled-data"
CHANCE = 0.05  # p above which the targets tell no more than permuted ones
CONTRADICTED = 0.08
FEWEST = 200  # examples
NO_BETTER = 1.25  # times: by so much an error or loss has to fall to show that something is known


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when targets tell nothing of inputs, or many are contradicted by their like."""
    found = seen.recording.summary.get("agreement") or {}
    if found.get("examples", 0) < FEWEST or seen.adversarial:
        return None
    if found["p"] > CHANCE and _knows_nothing(seen):
        return _unrelated(found)
    return _contradicted(seen, found) if found["contradicted"] > CONTRADICTED else None


def _unrelated(found: dict[str, float]) -> Suspicion:
    return Suspicion(
        CODE,
        0.9,
        f"The targets of {found['examples']} training examples tell no more of their inputs than "
        f"targets dealt out at random (p = {found['p']:.2f}).",
        {
            "explained": shown(found["explained"], "share of the targets that like examples "
                               "explain", "share", found["chance"]),
            "p": shown(found["p"], "chance of as much with permuted targets", "", CHANCE),
        },
        controls=[(PermutedTargets(),)],
        fits=False,
    )  # fmt: skip


def _contradicted(seen: Evidence, found: dict[str, float]) -> Suspicion:
    wrong = found["contradicted"]
    share = float(f"{min(0.5, 1.5 * wrong):.1g}")
    return Suspicion(
        CODE,
        0.6,
        f"The labels of {wrong:.0%} of the training examples are contradicted by the nearest ones.",
        {
            "contradicted": shown(wrong, "share of examples of which four of the five nearest "
                                  "have one other class", "share", CONTRADICTED),
            "explained": shown(found["explained"], "share of the targets that like examples "
                               "explain", "share", found["chance"]),
        },
        [(TrimmedLoss(share, after=len(seen.losses) // 10),)],
        fits=False,
    )  # fmt: skip


def _knows_nothing(seen: Evidence) -> bool:
    """Whether what the script evaluates could be reached without knowing anything."""
    counts = [int(n) for n in seen.recording.summary.get("target_counts", {}).values()]
    measure = seen.recording.measure()
    series = [] if measure is None else seen.recording.series(measure)
    if measure is not None and series and measure[1] == "accuracy" and counts:
        return bool(series[-1][1] <= by_luck(max(counts) / sum(counts), len(counts)))
    if measure is not None and series and sort_of(measure[1]) in ("loss", "error"):
        first = series[0][1] if len(series) > 1 else math.sqrt(max(seen.initial_loss, 0.0))
        return bool(series[-1][1] >= first / NO_BETTER)
    return seen.left > 1 / NO_BETTER


def by_luck(largest: float, classes: int) -> float:
    """The accuracy that a network which knows nothing may reach.

    One that gives every class of inputs some answer is right for each with the probability of the
    largest class: two standard deviations more than that, but at most half of what is missing.
    """
    deviation = math.sqrt(largest * (1 - largest) / classes)
    return largest + min(2 * deviation, (1 - largest) / 2)
