"""Sentences of a survey."""

from __future__ import annotations

EDGE = (0.8, 1.25)  # shares of the maximal rate that are called its edge


def rate_says(share: float) -> str:
    """What it means that the rate in use is this share of the maximal one."""
    low, high = EDGE
    if share == 0:
        return "and none is too large where nothing is curved upwards"
    if share > high:
        return (
            f"{share:.3g} times the maximal rate: steps overshoot in the stiffest direction until "
            "its curvature gives way"
        )
    if share >= low:
        return f"{share:.0%} of the maximal rate: at the edge of stability, as is usual in training"
    if share < 0.1:
        return f"{factor(1 / share)} times below the maximal rate"
    return f"{share:.2g} of the maximal rate"


def factor(value: float) -> str:
    """A factor with two significant digits."""
    return f"{float(f'{value:.2g}'):,.4g}" if value < 1e4 else f"{value:.1e}"


def unreached(step: int, made: int, ended: str, reason: str) -> str:
    """Why an asked step was not seen."""
    steps = "one step" if made == 1 else f"{made:,} steps"
    if made > step and ended == "seconds":
        return "the time was over before it was answered; allow more, or fewer products"
    if made > step:
        return "it was made, and no loss was seen of which it could be replayed"
    how = {
        "finished": "the script ended",
        "steps": "the run was ended",
        "seconds": "the time was over",
        "crashed": "the script failed",
        "killed": "the script was killed",
        "interrupted": "the run was stopped",
    }[ended]
    tail = f" ({reason})" if reason and ended in ("crashed", "killed") else ""
    return f"{how} after {steps}{tail}"
