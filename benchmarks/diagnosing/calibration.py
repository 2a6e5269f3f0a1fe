"""Whether findings said with a confidence are right as often as that."""

import itertools
import statistics

from section import Section

from diagnosing.scores import named

BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def calibration(title, rows):
    """First findings by their confidence: how many there are and what share of them is right."""
    pairs = [
        (row["report"]["findings"][0]["confidence"], named(row, 1))
        for row in rows
        if row["report"] and row["report"]["findings"]
    ]
    words = "A finding is right if its cause is an accepted one; on a healthy script none is."
    section = Section(title, words, ["confidence", "findings", "mean confidence", "right"])
    for low, high in itertools.pairwise(BINS):
        inside = [pair for pair in pairs if low <= pair[0] < high]
        if inside:
            said = statistics.fmean(confidence for confidence, _ in inside)
            right = statistics.fmean(float(ok) for _, ok in inside)
            cells = [f"{low:.1f} to {high:.1f}", str(len(inside)), f"{said:.2f}", f"{right:.2f}"]
            section.rows.append(cells)
    if pairs:
        ours, plain = brier(pairs), brier(constant(pairs))
        section.notes.append(f"Brier score {ours:.3f}; {plain:.3f} if the mean were always said")
    return section


def brier(pairs):
    """Mean squared difference of confidence and truth."""
    return statistics.fmean((confidence - ok) ** 2 for confidence, ok in pairs)


def constant(pairs):
    """The same findings, each said with the share of right ones."""
    share = statistics.fmean(float(ok) for _, ok in pairs)
    return [(share, ok) for _, ok in pairs]
