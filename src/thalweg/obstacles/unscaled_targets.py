"""Targets far from the scale that the outputs start at.

What it is
    A network starts with outputs of order one. Targets near 250 000 are that many steps away, and
    the gradient of a squared error grows with their distance: with plain descent the first step is
    enormous, with an adaptive method it takes as many steps as the distance is long. Tiny targets
    have the opposite trouble: the error is small before anything is learned.

How it is measured
    At the first step in full: the targets' |mean| + deviation over that of the outputs, for losses
    of differences. Above 30, or below 1/30, counts. Where outputs and targets are tables of one
    shape, also the largest deviation of a column over the smallest one, constant columns left out:
    above 30 the loss is that of the largest columns, and the others are not learned.

When not to trust it
    Outputs that start at zero on purpose make every target look far away: the distance is then
    taken against one. Where a last bias learns quickly the mean is no trouble. The trial tells.

How it is proved
    Standardized targets, predictions scaled back, remove the harm; each column by its own moments
    where there are several.

References
    LeCun et al., Efficient BackProp (1998), section 4.5: choosing target values.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from thalweg.interventions import TargetStandardization
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "unscaled-targets"
FAR = 30.0
CONSTANT = 1e-6  # a deviation that is less than this part of the column's size
COPIED = 0.99  # correlation with the inputs, number by number, at which targets are these
POWERS = {"difference": 2, "mse_loss": 2, "l1_loss": 1, "smooth_l1_loss": 1, "huber_loss": 1}
JOINING = frozenset("cat concat concatenate stack hstack column_stack".split())  # noqa: SIM905


class Columns(NamedTuple):
    """Moments of the columns of the targets; a constant one has the deviation 1."""

    means: list[float]
    stds: list[float]
    contrast: float  # the largest deviation over the smallest one, constant columns left out


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when targets, or some of their columns, are 30 times larger than others."""
    ends = [one["ending"] for one in seen.samples if one.get("ending")]
    if not ends or ends[0]["kind"] not in POWERS or not seen.layers():
        return None
    targets = [one["targets"] for one in ends if one["targets"] and one["targets"].get("std")]
    if not targets or ends[0]["outputs"].get("std") is None:
        return None
    size = _size(targets[0])
    distance = size / max(_size(ends[0]["outputs"]), 1.0 if size > 1 else 1e-30)
    table = None if (seen.first.get("reconstruction") or 0) > COPIED else _columns(targets)
    apart = table is not None and table.contrast > FAR
    if not (apart or distance > FAR or 0 < distance < 1 / FAR):
        return None
    mean = statistics.fmean(one["mean"] for one in targets)
    std = statistics.fmean(one["std"] for one in targets)
    count, power = len(seen.layers()), POWERS[ends[0]["kind"]]
    joined_by = ends[0]["made_by"] if ends[0]["made_by"] in JOINING else None
    place = (count - 1, count, power, joined_by)
    remedy = TargetStandardization(mean, std, *place)
    if table is not None:
        remedy = TargetStandardization(table.means, table.stds, *place)
    evidence = {
        "distance": shown(
            distance, "targets' size over that of the first outputs", "times", FAR
        ),
        "targets": shown([mean, std], "mean and deviation of the targets"),
    }  # fmt: skip
    summary = (
        f"The targets (mean {told(mean)}, deviation {told(std)}) are {told(distance)} times what "
        f"the outputs start at."
    )
    if table is not None and apart:
        evidence["columns"] = shown(
            table.contrast, "largest deviation of a column over the smallest", "times", FAR
        )
        summary = (
            f"The targets have columns of which one varies {told(table.contrast)} times as much as "
            f"another: the loss is that of the larger ones."
        )
    return Suspicion(CODE, 0.9, summary, evidence, [(remedy,)], fits=False)


def _columns(targets: list[Row]) -> Columns | None:
    """What the steps in full show of the columns together; None if there are none that vary."""
    seen = [one["columns"] for one in targets if "columns" in one]
    if not seen or len({len(one["means"]) for one in seen}) > 1:
        return None
    each = [_pooled(*one) for one in zip(*(_by_column(one) for one in seen), strict=True)]
    varying = [std for mean, std in each if std > CONSTANT * (abs(mean) + std)]
    if not varying:
        return None
    stds = [std if std > CONSTANT * (abs(mean) + std) else 1.0 for mean, std in each]
    return Columns(
        [_written(mean) for mean, _ in each], list(map(_written, stds)), max(varying) / min(varying)
    )


def _written(value: float) -> float:
    """To six digits: these numbers go into lines that a person reads."""
    return float(f"{value:.6g}")


def _by_column(one: Row) -> list[tuple[float, float]]:
    return list(zip(one["means"], one["stds"], strict=True))


def _pooled(*batches: tuple[float, float]) -> tuple[float, float]:
    """Mean and deviation of batches of one size together: within them, and between their means."""
    means = [mean for mean, _ in batches]
    within = statistics.fmean(std * std for _, std in batches)
    return statistics.fmean(means), (within + statistics.pvariance(means)) ** 0.5


def _size(found: Row) -> float:
    return abs(float(found["mean"])) + float(found["std"])
