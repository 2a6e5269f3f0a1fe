"""Pacing functions: which share of the examples, from the easiest on, a step may draw from.

Each is made with its numbers and called with the step, counted from 0; it gives a share in (0, 1]
that never falls.

Reference: Hacohen & Weinshall (2019), *On the power of curriculum learning in training deep
networks*, section 2.3 (fixed exponential and single-step pacing); Bengio, Louradour, Collobert &
Weston (2009), *Curriculum learning*, section 5 (two stages).
"""

from collections.abc import Callable

Pacing = Callable[[int], float]
LATE = 100  # powers beyond it could overflow; a growth that needs more grows nothing to speak of


def exponential_pacing(start: float, growth: float, every: int) -> Pacing:
    """min(1, start * growth^floor(step / every)).

    Raises:
        ValueError: a start outside (0, 1], a growth below 1, or `every` below 1.
    """
    call = f"exponential_pacing(start={start}, growth={growth}, every={every})"
    _check(call, start, every)
    if growth < 1:
        raise ValueError(f"{call}: a growth below 1 takes examples away again.")
    return lambda step: min(1.0, start * growth ** min(step // every, LATE))


def linear_pacing(start: float, steps: int) -> Pacing:
    """min(1, start + (1 - start) step / steps).

    Raises:
        ValueError: a start outside (0, 1], or `steps` below 1.
    """
    _check(f"linear_pacing(start={start}, steps={steps})", start, steps)
    return lambda step: min(1.0, start + (1 - start) * step / steps)


def two_stages(start: float, steps: int) -> Pacing:
    """`start` for so many steps, then everything.

    Raises:
        ValueError: a start outside (0, 1], or `steps` below 1.
    """
    _check(f"two_stages(start={start}, steps={steps})", start, steps)
    return lambda step: start if step < steps else 1.0


def _check(call: str, start: float, steps: int) -> None:
    if not 0 < start <= 1 or steps < 1:
        raise ValueError(f"{call}: start is a share in (0, 1], and steps are counted from 1.")
